import org.springframework.context.annotation.Configuration;
import org.springframework.http.HttpMethod;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.oauth2.config.annotation.web.configuration.EnableResourceServer;
import org.springframework.security.oauth2.config.annotation.web.configuration.ResourceServerConfigurerAdapter;

/** What a token must allow. */
@Configuration
@EnableResourceServer
class Resources extends ResourceServerConfigurerAdapter {
    @Override
    public void configure(HttpSecurity http) throws Exception {
        http.requestMatchers().antMatchers("/rest/**").and().authorizeRequests()
            .antMatchers(HttpMethod.PUT, "/rest/v2.4/cameras/*").access("#oauth2.hasScope('write')")
            .antMatchers(HttpMethod.GET, "/rest/v2.0/users/self", "/rest/v2.4/cameras")
                .access("#oauth2.hasAnyScope('read', 'write')")
            .anyRequest().authenticated();
    }
}
