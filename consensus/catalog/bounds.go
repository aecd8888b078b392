package catalog

// Bounds of the content of one record, so that a defective member cannot exhaust
// the memory of the others.
const (
	maxNameLength     = 63  // RFC 1123 label
	maxInstanceLength = 253 // a DNS name
	maxEndpoints      = 16  // of a gateway; also the maximum of its controls
	maxVersionLength  = 64
	maxPorts          = 64
	maxLabels         = 64
	maxLabelsSize     = 4 << 10 // bytes of all keys and values of a service

	maxAppProtocolLength = 317   // prefix/name, as in Kubernetes
	maxAffinitySeconds   = 86400 // as in Kubernetes

	// MaxSliceEndpoints is how many endpoints a slice may have, so that the
	// largest slice fits into one command.
	MaxSliceEndpoints = 200
)
