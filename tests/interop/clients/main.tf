# State in a bucket of the account's, by the gcs backend; nothing else is needed of any provider.
terraform {
  backend "gcs" {}
}

resource "terraform_data" "note" {
  input = "written by Terraform"
}
