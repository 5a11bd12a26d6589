import java.util.Date;
import javax.sql.DataSource;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Primary;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.security.oauth2.common.DefaultExpiringOAuth2RefreshToken;
import org.springframework.security.oauth2.common.DefaultOAuth2AccessToken;
import org.springframework.security.oauth2.common.DefaultOAuth2RefreshToken;
import org.springframework.security.oauth2.common.OAuth2AccessToken;
import org.springframework.security.oauth2.common.OAuth2RefreshToken;
import org.springframework.security.oauth2.provider.token.DefaultTokenServices;
import org.springframework.security.oauth2.provider.token.TokenStore;
import org.springframework.security.oauth2.provider.token.store.InMemoryTokenStore;
import org.springframework.security.oauth2.provider.token.store.JdbcTokenStore;

/** Where tokens are kept, and how long they live. */
@Configuration
class Tokens {
    private static final String ZONE = ":10003";

    @Value("${lifetime:43200}") int lifetime;
    @Value("${refresh-lifetime:0}") int refreshLifetime;
    @Value("${rotate:false}") boolean rotate;

    @Bean
    public TokenStore tokenStore(@Value("${store:memory}") String kind, DataSource source) {
        if (!kind.equals("jdbc")) return new InMemoryTokenStore();
        JdbcTemplate database = new JdbcTemplate(source);
        // The schema of the framework's own tests.
        database.execute("create table oauth_access_token (token_id varchar(256), token longvarbinary, "
            + "authentication_id varchar(256) primary key, user_name varchar(256), client_id varchar(256), "
            + "authentication longvarbinary, refresh_token varchar(256))");
        database.execute("create table oauth_refresh_token (token_id varchar(256), token longvarbinary, "
            + "authentication longvarbinary)");
        return new JdbcTokenStore(source);
    }

    @Bean
    @Primary
    public DefaultTokenServices tokenServices(TokenStore store) {
        DefaultTokenServices services = new DefaultTokenServices();
        services.setTokenStore(store);
        services.setSupportRefreshToken(true);
        services.setReuseRefreshToken(!rotate);
        services.setAccessTokenValiditySeconds(lifetime);
        services.setRefreshTokenValiditySeconds(refreshLifetime);
        services.setTokenEnhancer((token, authentication) -> withZone(token));
        return services;
    }

    /** The vendor's tokens end with the number of a zone. */
    private static OAuth2AccessToken withZone(OAuth2AccessToken token) {
        DefaultOAuth2AccessToken changed = new DefaultOAuth2AccessToken(token);
        changed.setValue(token.getValue() + ZONE);
        OAuth2RefreshToken refresh = token.getRefreshToken();
        if (refresh == null || refresh.getValue().endsWith(ZONE)) return changed;
        String value = refresh.getValue() + ZONE;
        if (refresh instanceof DefaultExpiringOAuth2RefreshToken) {
            Date end = ((DefaultExpiringOAuth2RefreshToken) refresh).getExpiration();
            changed.setRefreshToken(new DefaultExpiringOAuth2RefreshToken(value, end));
        } else {
            changed.setRefreshToken(new DefaultOAuth2RefreshToken(value));
        }
        return changed;
    }
}
