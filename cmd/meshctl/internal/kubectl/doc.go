// Package kubectl owns the way to a meshd inside a Kubernetes cluster: it finds the
// pod of an agent and connects to it through kubectl exec, with the permissions of
// the user.
package kubectl
