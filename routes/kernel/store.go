package kernel

// SysctlStore stores the values that sysctls had before Meshway set them.
type SysctlStore interface {
	// Load returns what Save last saved, and whether anything is stored.
	Load() (list []SavedSysctl, found bool, err error)
	// Save replaces the stored list. It is not called with an empty list.
	Save(list []SavedSysctl) error
	// Remove clears the store. It is no error if nothing is stored.
	Remove() error
}

// SavedSysctl is a sysctl with the value before Meshway set it, and the value that
// Meshway set. It is restored only while it has the latter.
type SavedSysctl struct {
	Key    string `json:"key"` // path below /proc/sys
	Before string `json:"before"`
	Ours   string `json:"ours"`
}
