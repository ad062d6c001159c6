import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/**
 * Starts one Elasticsearch node from jars alone; the distribution's own launcher needs the files of the distribution.
 *
 * <p>Arguments: the node's folder, the folder of its modules, the HTTP port.
 */
public class Launcher {
    public static void main(String[] arguments) throws Exception {
        Path home = Path.of(arguments[0]).toAbsolutePath();
        Path modules = Path.of(arguments[1]).toAbsolutePath();
        for (String folder : List.of("config", "data", "logs", "plugins", "tmp")) {
            Files.createDirectories(home.resolve(folder));
        }
        Settings settings = Settings.builder()
            .put("path.home", home.toString())
            .put("path.data", home.resolve("data").toString())
            .put("path.logs", home.resolve("logs").toString())
            .put("cluster.name", "local")
            .put("node.name", "node-1")
            .put("discovery.type", "single-node")
            .put("network.host", "127.0.0.1")
            .put("http.port", arguments[2])
            .put("transport.port", "0") // nobody else joins; any free port will do
            .put("transport.type", "netty4")
            .put("http.type", "netty4")
            // A developer's disk is often fuller than the 85 % at which shards are no longer placed.
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .put("node.processors", 2)
            .put("logger.level", "info") // what a node that does not become ready waits for
            .build();
        Environment environment = new Environment(settings, home.resolve("config"));
        LogConfigurator.configureWithoutConfig(settings);
        PluginsLoader loader = PluginsLoader.createPluginsLoader(
            PluginsLoader.loadModulesBundles(modules, false),
            PluginsLoader.loadPluginsBundles(home.resolve("plugins"), false), Map.of(), false);
        Node node;
        try {
            node = new Node(environment, loader);
            node.start();
        } catch (Throwable error) {
            error.printStackTrace();
            System.err.println("the node cannot start: " + error); // the end of the log is what people are shown
            // Threads of the failed node would keep the process, and whoever waits for it, for ever.
            Runtime.getRuntime().halt(1);
            return;
        }
        CountDownLatch stopped = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (Exception error) {
                error.printStackTrace();
            }
            stopped.countDown();
        }));
        stopped.await();
    }
}
