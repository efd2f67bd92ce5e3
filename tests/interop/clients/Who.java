// google-auth-library-oauth2-http: a request with the account's own token.
import com.google.api.client.http.GenericUrl;
import com.google.api.client.http.javanet.NetHttpTransport;
import com.google.auth.http.HttpCredentialsAdapter;
import com.google.auth.oauth2.GoogleCredentials;

public class Who {
	public static void main(String[] args) throws Exception {
		GoogleCredentials credentials =
			GoogleCredentials.getApplicationDefault().createScoped("https://www.googleapis.com/auth/cloud-platform");
		GenericUrl url = new GenericUrl("https://storage.googleapis.com/storage/v1/b/of-" + System.getenv("NAME") + "/o/whoami?alt=media");
		System.out.println(credentials.getClass().getSimpleName());
		System.out.println(new NetHttpTransport().createRequestFactory(new HttpCredentialsAdapter(credentials))
			.buildGetRequest(url).execute().parseAsString());
	}
}
