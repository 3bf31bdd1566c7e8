// Prints the events of orders. It needs the jars of kafka-clients and jackson-databind:
//     java -cp 'jars/*' OrderEvents.java
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

public class OrderEvents {
    public static void main(String[] arguments) throws Exception {
        String prefix = System.getenv().getOrDefault("KAFKA_PREFIX", "");
        Map<String, Object> settings = Map.of(
            "bootstrap.servers", System.getenv().getOrDefault("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
            "group.id", prefix + "order-events-printer",
            "isolation.level", "read_committed", // Java's default also reads records of aborted transactions
            "enable.auto.commit", "false", // an offset is committed after its work
            "auto.offset.reset", "earliest");
        ObjectMapper json = new ObjectMapper();
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(prefix + "order-events"));
            while (true) {
                for (ConsumerRecord<String, byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    // Store eventId in the transaction of your work: after a crash the event comes again.
                    JsonNode event = json.readTree(record.value());
                    System.out.printf("%s %s %d%n", record.key(), event.get("eventType").asText(),
                        event.get("orderVersion").asInt());
                }
                consumer.commitSync();
            }
        }
    }
}
