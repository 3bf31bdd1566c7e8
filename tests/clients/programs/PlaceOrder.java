import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;

/** The JDK's client with its defaults, so it offers HTTP/2. */
public class PlaceOrder {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        HttpRequest order = HttpRequest.newBuilder(URI.create(arguments[0] + "/orders"))
            .header("Content-Type", "application/json")
            .POST(BodyPublishers.ofString(arguments[1]))
            .build();
        HttpResponse<String> placed = client.send(order, BodyHandlers.ofString());
        System.out.println(placed.statusCode());
        URI location = URI.create(arguments[0] + placed.headers().firstValue("Location").orElse("/nowhere"));
        HttpResponse<String> read = client.send(HttpRequest.newBuilder(location).build(), BodyHandlers.ofString());
        System.out.println(read.statusCode());
        System.out.println(read.body());
    }
}
