package kube

import (
	"fmt"
	"log/slog"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	mcsclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"
)

// Clients are the clients of the API server of the own cluster.
type Clients struct {
	Kubernetes kubernetes.Interface
	Dynamic    dynamic.Interface
	MCS        mcsclient.Interface // of the Multi-Cluster Services API
	Server     string              // URL of the API server
}

// Connect returns clients for the API server of a kubeconfig file, or, if the path
// is empty, of the service account of the pod. It does not dial.
func Connect(kubeconfig, userAgent string, log *slog.Logger) (Clients, error) {
	klog.SetSlogLogger(log) // client-go otherwise writes to standard error in a format of its own
	load := rest.InClusterConfig
	if kubeconfig != "" {
		load = func() (*rest.Config, error) { return clientcmd.BuildConfigFromFlags("", kubeconfig) }
	}
	cfg, err := load()
	if err != nil {
		return Clients{}, fmt.Errorf("kubernetes.kubeconfig: %w: run in a pod with a service account, or set the path of a kubeconfig file", err)
	}
	cfg.UserAgent = userAgent
	clients, err := ClientsOf(cfg)
	if err != nil {
		return Clients{}, fmt.Errorf("kubernetes.kubeconfig: %w", err)
	}
	return clients, nil
}

// ClientsOf returns clients without a rate limit: the API server limits requests
// itself (API Priority and Fairness), by its load.
func ClientsOf(cfg *rest.Config) (clients Clients, err error) {
	cfg = rest.CopyConfig(cfg)
	clients.Server = cfg.Host
	cfg.QPS, cfg.RateLimiter = -1, nil
	typed := rest.CopyConfig(cfg) // CRDs have no protobuf
	typed.ContentType = "application/vnd.kubernetes.protobuf"
	typed.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	if clients.Kubernetes, err = kubernetes.NewForConfig(typed); err != nil {
		return Clients{}, err
	}
	if clients.Dynamic, err = dynamic.NewForConfig(cfg); err != nil {
		return Clients{}, err
	}
	multi := rest.CopyConfig(cfg)
	multi.WarningHandler = rest.NoWarnings{} // older CRDs have no spec of ServiceExports, which is always sent
	clients.MCS, err = mcsclient.NewForConfig(multi)
	return clients, err
}
