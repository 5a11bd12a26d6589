import java.util.Arrays;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.annotation.web.configuration.WebSecurityConfigurerAdapter;
import org.springframework.security.core.authority.AuthorityUtils;
import org.springframework.security.core.userdetails.User;
import org.springframework.security.core.userdetails.UserDetailsService;
import org.springframework.security.core.userdetails.UsernameNotFoundException;
import org.springframework.security.crypto.password.NoOpPasswordEncoder;
import org.springframework.security.crypto.password.PasswordEncoder;

/** The login page of the framework, and two users, whose passwords are their names. */
@Configuration
class Login extends WebSecurityConfigurerAdapter {
    @Override
    protected void configure(HttpSecurity http) throws Exception {
        // The container forwards a 404, a 405 and a 500 to /error.
        http.authorizeRequests().antMatchers("/error").permitAll().anyRequest().authenticated().and().formLogin();
    }

    @Bean
    @Override
    public UserDetailsService userDetailsService() {
        return name -> {
            if (!Arrays.asList("demo", "other").contains(name)) throw new UsernameNotFoundException(name);
            return new User(name, name, AuthorityUtils.createAuthorityList("ROLE_USER"));
        };
    }

    @Bean
    @SuppressWarnings("deprecation") // Secrets and passwords of tests are not hashed.
    public PasswordEncoder passwordEncoder() {
        return NoOpPasswordEncoder.getInstance();
    }
}
