import java.security.Principal;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Collections;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.security.oauth2.provider.OAuth2Authentication;
import org.springframework.security.oauth2.provider.authentication.OAuth2AuthenticationDetails;
import org.springframework.security.oauth2.provider.token.DefaultTokenServices;
import org.springframework.web.bind.annotation.DeleteMapping;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PutMapping;
import org.springframework.web.bind.annotation.RestController;

/** The resources that the sandbox has, and the logout. */
@RestController
class Api {
    @Autowired DefaultTokenServices tokenServices;

    @GetMapping("/rest/v2.0/users/self")
    public Map<String, Object> self(Principal user) {
        Map<String, Object> self = new HashMap<>();
        self.put("userId", user.getName().equals("demo") ? 20003 : 20004);
        self.put("username", user.getName());
        return self;
    }

    @GetMapping("/rest/v2.4/cameras")
    public List<Map<String, Object>> cameras() {
        return Arrays.asList(Collections.singletonMap("cameraId", 1), Collections.singletonMap("cameraId", 2));
    }

    @PutMapping("/rest/v2.4/cameras/{id}")
    public Map<String, Object> camera() {
        return Collections.singletonMap("cameraId", 1);
    }

    @DeleteMapping("/rest/v2.0/users/self/tokens/current")
    public void logOut(OAuth2Authentication user) {
        tokenServices.revokeToken(((OAuth2AuthenticationDetails) user.getDetails()).getTokenValue());
    }
}
