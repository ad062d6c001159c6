import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.management.OperatingSystemMXBean;
import io.debezium.embedded.async.ConvertingAsyncEngineBuilderFactory;
import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.DebeziumEngine.RecordCommitter;
import io.debezium.engine.Header;
import io.debezium.engine.format.Json;
import io.debezium.engine.format.KeyValueHeaderChangeEventFormat;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.Reader;
import java.io.Writer;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;

/**
 * Debezium's embedded engine until SIGTERM: `Engine OPTIONS.properties [RECORDS.jsonl]`.
 *
 * Without a second argument it only counts, and after each batch prints how far it is: {"at": seconds of the monotonic
 * clock, "done": events without tombstones, "cpu": seconds}. With one it writes every record to that file instead.
 */
public final class Engine {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final OperatingSystemMXBean SYSTEM =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    private static long done = 0;

    public static void main(String[] arguments) throws Exception {
        Properties options = new Properties();
        try (Reader reader = Files.newBufferedReader(Path.of(arguments[0]))) {
            options.load(reader);
        }
        Writer records = arguments.length < 2 ? null : open(Path.of(arguments[1]));
        DebeziumEngine<ChangeEvent<String, String>> engine = DebeziumEngine
                .create(KeyValueHeaderChangeEventFormat.of(Json.class, Json.class, Json.class),
                        ConvertingAsyncEngineBuilderFactory.class.getName())
                .using(options)
                .using((success, message, error) -> {
                    if (!success) {
                        System.err.println("engine failed: " + message);
                        if (error != null) {
                            error.printStackTrace();
                        }
                        Runtime.getRuntime().halt(1);
                    }
                })
                .notifying((batch, committer) -> handle(batch, committer, records))
                .build();
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                engine.close();
                main.join();
            } catch (IOException | InterruptedException | IllegalStateException error) {
                System.err.println("not closed in order: " + error);
            }
        }));
        engine.run();
    }

    private static void handle(List<ChangeEvent<String, String>> batch,
            RecordCommitter<ChangeEvent<String, String>> committer, Writer records) throws InterruptedException {
        for (ChangeEvent<String, String> event : batch) {
            if (event.value() != null) {
                done++;
            }
            if (records != null) {
                write(records, event);
            }
            committer.markProcessed(event);
        }
        committer.markBatchFinished();
        if (records == null) {
            System.out.printf("{\"at\": %.6f, \"done\": %d, \"cpu\": %.3f}%n", System.nanoTime() / 1e9, done,
                    SYSTEM.getProcessCpuTime() / 1e9);
        }
        else {
            flush(records);
        }
    }

    private static void write(Writer records, ChangeEvent<String, String> event) {
        List<List<String>> headers = new ArrayList<>();
        for (Header<?> header : event.headers()) {
            headers.add(List.of(header.getKey(), String.valueOf(header.getValue())));
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("topic", event.destination());
        line.put("key", event.key());
        line.put("value", event.value());
        line.put("headers", headers);
        try {
            records.write(JSON.writeValueAsString(line));
            records.write('\n');
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }

    private static void flush(Writer records) {
        try {
            records.flush();
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }

    private static BufferedWriter open(Path file) throws IOException {
        return Files.newBufferedWriter(file, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }
}
