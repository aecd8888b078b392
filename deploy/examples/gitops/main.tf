# Meshway with Terraform or OpenTofu. The token comes from `meshctl token create` in
# another cluster: terraform apply -var token=… The state then contains it; it is valid
# for one join.
#
# terraform destroy runs the hook of the uninstallation: the cluster leaves the
# federation. Helm never upgrades custom resource definitions: before an upgrade, apply
# them as described in deploy/docs/tasks.md.
terraform {
  required_providers {
    helm       = { source = "hashicorp/helm", version = "~> 3.0" }
    kubernetes = { source = "hashicorp/kubernetes", version = "~> 2.35" }
  }
}

variable "token" {
  type      = string
  sensitive = true
}

resource "kubernetes_namespace_v1" "meshway" {
  metadata {
    name   = "meshway-system"
    labels = { "pod-security.kubernetes.io/enforce" = "privileged" }
  }
}

resource "kubernetes_secret_v1" "join" {
  metadata {
    name      = "meshway-join"
    namespace = kubernetes_namespace_v1.meshway.metadata[0].name
  }
  data = { token = var.token }
}

resource "helm_release" "meshway" {
  name       = "meshway"
  namespace  = kubernetes_namespace_v1.meshway.metadata[0].name
  repository = "oci://ghcr.io/meshway/charts"
  chart      = "meshway"
  version    = "0.1.0"
  timeout    = 300 # more than the hook of the uninstallation takes at most
  values     = [file("${path.module}/../kubernetes/west-gitops.yaml")]
  depends_on = [kubernetes_secret_v1.join]
}
