import java.util.Collections;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.authentication.AuthenticationManager;
import org.springframework.security.authentication.AuthenticationProvider;
import org.springframework.security.authentication.ProviderManager;
import org.springframework.security.authentication.dao.DaoAuthenticationProvider;
import org.springframework.security.crypto.password.PasswordEncoder;
import org.springframework.security.oauth2.config.annotation.configurers.ClientDetailsServiceConfigurer;
import org.springframework.security.oauth2.config.annotation.web.configuration.AuthorizationServerConfigurerAdapter;
import org.springframework.security.oauth2.config.annotation.web.configuration.EnableAuthorizationServer;
import org.springframework.security.oauth2.config.annotation.web.configurers.AuthorizationServerEndpointsConfigurer;
import org.springframework.security.oauth2.config.annotation.web.configurers.AuthorizationServerSecurityConfigurer;
import org.springframework.security.oauth2.provider.ClientDetailsService;
import org.springframework.security.oauth2.provider.approval.InMemoryApprovalStore;
import org.springframework.security.oauth2.provider.client.ClientDetailsUserDetailsService;
import org.springframework.security.oauth2.provider.endpoint.DefaultRedirectResolver;
import org.springframework.security.oauth2.provider.error.OAuth2AuthenticationEntryPoint;
import org.springframework.security.oauth2.provider.token.DefaultTokenServices;
import org.springframework.security.web.authentication.www.BasicAuthenticationFilter;

/** `/oauth/authorize` and `/oauth/token`, and the API keys. */
@Configuration
@EnableAuthorizationServer
class Authorization extends AuthorizationServerConfigurerAdapter {
    @Autowired DefaultTokenServices tokenServices;
    @Autowired ClientDetailsService clientDetails;
    @Autowired PasswordEncoder passwordEncoder;
    @Value("${form:false}") boolean form;
    /** Who responds to wrong credentials: `oauth` as XML configurations do, `boot` as the Java configuration does. */
    @Value("${entry:oauth}") String entry;

    @Override
    public void configure(AuthorizationServerSecurityConfigurer security) {
        if (form) security.allowFormAuthenticationForClients();
        if (entry.equals("boot")) return;
        OAuth2AuthenticationEntryPoint point = new OAuth2AuthenticationEntryPoint();
        point.setTypeName("Basic");
        point.setRealmName("oauth2/client");
        security.authenticationEntryPoint(point);
        // The endpoint comes with such a filter, which has its own entry point. This one is before it.
        security.addTokenEndpointAuthenticationFilter(new BasicAuthenticationFilter(clients(), point));
    }

    private AuthenticationManager clients() {
        DaoAuthenticationProvider provider = new DaoAuthenticationProvider();
        provider.setUserDetailsService(id -> new ClientDetailsUserDetailsService(clientDetails).loadUserByUsername(id));
        provider.setPasswordEncoder(passwordEncoder);
        return new ProviderManager(Collections.<AuthenticationProvider>singletonList(provider));
    }

    @Override
    public void configure(ClientDetailsServiceConfigurer clients) throws Exception {
        clients.inMemory()
            .withClient("cameramanager.test").secret("qwertyuiopasdfghjklzxcvbnm12345").scopes("read", "write")
            .authorizedGrantTypes("authorization_code", "refresh_token")
            .redirectUris("https://example.com", "http://127.0.0.1/").and()
            .withClient("other").secret("other").scopes("read", "write")
            .authorizedGrantTypes("authorization_code", "refresh_token").redirectUris("https://example.com").and()
            .withClient("codeless").secret("codeless").scopes("read", "write").authorizedGrantTypes("refresh_token");
    }

    @Override
    public void configure(AuthorizationServerEndpointsConfigurer endpoints) {
        DefaultRedirectResolver redirects = new DefaultRedirectResolver();
        redirects.setMatchPorts(false); // A program that listens cannot choose its port.
        endpoints.tokenServices(tokenServices).approvalStore(new InMemoryApprovalStore()).redirectResolver(redirects);
    }
}
