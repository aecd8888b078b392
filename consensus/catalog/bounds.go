package catalog

// Bounds of the content of one record, so that a defective member cannot exhaust
// the memory of the others.
const (
	maxNameLength     = 63  // RFC 1123 label
	maxInstanceLength = 253 // a DNS name
	maxEndpoints      = 16  // of a gateway; also the maximum of its controls
	maxVersionLength  = 64
	maxPorts          = 64  // of a registered service
	maxExportPorts    = 256 // of an export and of its endpoints
	maxLabels         = 64
	maxLabelsSize     = 4 << 10 // bytes of all keys and values of a service

	maxAppProtocolLength = 317   // prefix/name, as in Kubernetes
	maxAffinitySeconds   = 86400 // as in Kubernetes

	// maxExportSize lets the largest export fit into one command.
	maxExportSize = MaxCommandSize - 2<<10

	// MaxSliceEndpoints is how many endpoints a slice may have, so that the
	// largest slice fits into one command.
	MaxSliceEndpoints = 200

	maxClientLength = 128

	// Texts of a stored refusal.
	maxRefusalName = 128 // code and field
	maxRefusalText = 768 // message and remedy
)

// Bounds of the encoded records of a snapshot, in bytes. What Apply accepts must be
// read again by Decode, so they follow from the bounds of the content.
const (
	// recordGrowth is how much larger a record may be than the command that wrote
	// it: by the fields that the catalog adds, the longer canonical form of an
	// address, and the CA certificate of a datacenter.
	recordGrowth = MaxCommandSize + maxCertificateSize

	// A stored result has a sequence, an index and the four texts of a refusal, with
	// tags and lengths.
	maxStoredResult = 2*maxRefusalName + 2*maxRefusalText + 64

	maxClientRecord = MaxOutstanding*maxStoredResult + maxClientLength + 2*maxNameLength + 128

	// maxEarlierClientRecord is the limit of earlier builds, which stored results
	// with records.
	maxEarlierClientRecord = 64 << 20

	// MaxCommandRecord is the maximum size of a record that is written by commands alone:
	// all but those of clients and the settings. One command has written the prefixes of
	// a datacenter, another one its successions.
	MaxCommandRecord = 2*MaxCommandSize + recordGrowth

	// MaxSettings is how many ranges, limits, budgets and requests the settings may have
	// together.
	MaxSettings = 1 << 18

	// MaxRecordSize is the maximum size of a record of a snapshot.
	MaxRecordSize = max(MaxCommandRecord, maxClientRecord, maxEarlierClientRecord)
)
