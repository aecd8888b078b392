package control

// For tests of package control_test.
const (
	MaxStreams = maxStreams
	MaxCallers = maxCallers
	MaxApply   = maxApply
	MaxBytes   = maxBytes
)
