# google-cloud-bigquery: a query asks for its user, by both of the ways in which it can be asked.
from google.cloud import bigquery

client = bigquery.Client()
print(next(iter(client.query_and_wait("SELECT SESSION_USER()")))[0])
print(next(iter(client.query("SELECT SESSION_USER()").result()))[0])
print([d.dataset_id for d in client.list_datasets()])
