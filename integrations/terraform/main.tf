# A server by Terraform or OpenTofu, through the generic REST provider. OPENVPS_TOKEN stands in var.token:
#   tofu init && tofu apply -var token=... -var ssh_key_id=1
terraform {
  required_providers {
    restapi = {
      source  = "Mastercard/restapi"
      version = "~> 2.0"
    }
  }
}

variable "token" {
  type      = string
  sensitive = true
}

variable "url" {
  type    = string
  default = "http://127.0.0.1:8080/api/v1"
}

variable "ssh_key_id" {
  type = number
}

provider "restapi" {
  uri                   = var.url
  write_returns_object  = true
  create_returns_object = true
  update_method         = "PATCH"
  headers = {
    Authorization = "Bearer ${var.token}"
    Content-Type  = "application/json"
  }
}

resource "restapi_object" "web" {
  path          = "/servers/"
  read_path     = "/servers/{id}/"
  update_path   = "/servers/{id}/"
  destroy_path  = "/servers/{id}/"
  ignore_all_server_changes = true

  data = jsonencode({
    name       = "web-1"
    plan_id    = 1
    os_id      = 3
    location   = "us-west"
    ssh_key_id = var.ssh_key_id
  })

  # Another plan, system, location or key is another server: PATCH changes the name, and what else it may.
  force_new = ["plan_id", "os_id", "location", "ssh_key_id"]
}

output "server_id" {
  value = restapi_object.web.id
}
