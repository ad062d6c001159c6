import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.Map;
import org.elasticsearch.ElasticsearchSecurityException;
import org.elasticsearch.common.util.concurrent.ThreadContext;
import org.elasticsearch.http.HttpRouteStats;
import org.elasticsearch.http.HttpServerTransport;
import org.elasticsearch.rest.RestChannel;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestResponse;
import org.elasticsearch.rest.RestStatus;

/** Lets a request pass when it carries the password of the user {@code elastic}; else answers 401 as a distribution does. */
class BasicAuthentication implements HttpServerTransport.Dispatcher {
    private static final String CHALLENGE = "Basic realm=\"security\", charset=\"UTF-8\"";

    private final HttpServerTransport.Dispatcher next;
    private final byte[] expected;

    BasicAuthentication(HttpServerTransport.Dispatcher next, String password) {
        if (password == null || password.isEmpty()) {
            throw new IllegalArgumentException("the variable ELASTIC_PASSWORD is not set");
        }
        this.next = next;
        byte[] credentials = ("elastic:" + password).getBytes(StandardCharsets.UTF_8);
        this.expected = ("Basic " + Base64.getEncoder().encodeToString(credentials)).getBytes(StandardCharsets.US_ASCII);
    }

    @Override
    public void dispatchRequest(RestRequest request, RestChannel channel, ThreadContext threadContext) {
        String given = request.header("Authorization");
        if (given == null) {
            refuse(channel, "missing authentication credentials for REST request [" + request.path() + "]");
        } else if (MessageDigest.isEqual(given.getBytes(StandardCharsets.US_ASCII), expected)) {
            next.dispatchRequest(request, channel, threadContext);
        } else {
            refuse(channel, "unable to authenticate user for REST request [" + request.path() + "]");
        }
    }

    @Override
    public void dispatchBadRequest(RestChannel channel, ThreadContext threadContext, Throwable cause) {
        next.dispatchBadRequest(channel, threadContext, cause);
    }

    @Override
    public Map<String, HttpRouteStats> getStats() {
        return next.getStats();
    }

    private static void refuse(RestChannel channel, String reason) {
        ElasticsearchSecurityException refusal = new ElasticsearchSecurityException(reason, RestStatus.UNAUTHORIZED);
        refusal.addHttpHeader("WWW-Authenticate", CHALLENGE);
        try {
            channel.sendResponse(new RestResponse(channel, refusal));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
