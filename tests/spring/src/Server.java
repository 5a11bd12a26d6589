import java.util.HashMap;
import java.util.Map;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.core.env.Environment;

/**
 * An authorization and resource server on Spring Security OAuth, with as little of its own as possible, so that its
 * responses are those of the framework. Its own are the `:10003` at the end of tokens, and the resources.
 *
 * Options, each with its default: --port=0 --lifetime=43200 --refresh-lifetime=0 --rotate=false --store=memory (or jdbc)
 * --form=false --entry=oauth (or boot). With --server.ssl.key-store=FILE and --server.ssl.key-store-password=WORD: https.
 * It prints "ready at URL", and ends with its standard input.
 */
@Configuration
@EnableAutoConfiguration
@Import({Login.class, Tokens.class, Authorization.class, Api.class, Resources.class})
public class Server {
    public static void main(String[] arguments) throws Exception {
        Map<String, Object> defaults = new HashMap<>();
        defaults.put("server.address", "127.0.0.1");
        defaults.put("server.port", "${port:0}");
        defaults.put("logging.level.root", "OFF");
        defaults.put("spring.main.banner-mode", "off");
        defaults.put("spring.datasource.url", "jdbc:h2:mem:tokens;DB_CLOSE_DELAY=-1");
        SpringApplication application = new SpringApplication(Server.class);
        application.setDefaultProperties(defaults);
        ConfigurableApplicationContext context = application.run(arguments);
        Environment settings = context.getEnvironment();
        String scheme = settings.containsProperty("server.ssl.key-store") ? "https" : "http";
        System.out.println("ready at " + scheme + "://localhost:" + settings.getProperty("local.server.port"));
        while (System.in.read() >= 0) {}
        System.exit(0);
    }
}
