# google.oauth2.id_token: an ID token for a service, and what the service makes of it.
import os
import urllib.request
import google.auth.transport.requests
from google.oauth2 import id_token

service = "https://service.hallpass.test"
token = id_token.fetch_id_token(google.auth.transport.requests.Request(), service)
request = urllib.request.Request(service + "/service/of-" + os.environ["NAME"], headers={"Authorization": "Bearer " + token})
print(urllib.request.urlopen(request).read().decode())
