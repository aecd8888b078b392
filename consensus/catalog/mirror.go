package catalog

// MirrorName returns the name of the Service by which other clusters mirror the
// export.
func (k ExportKey) MirrorName() string { return k.Name + "-" + string(k.Datacenter) }

// MirrorKeys returns the keys of all exports in a namespace whose mirror has a name:
// those of service a of datacenter b-c and of service a-b of datacenter c are both
// called a-b-c.
func MirrorKeys(namespace, mirror string) []ExportKey {
	var keys []ExportKey
	for i := 1; i < len(mirror)-1; i++ {
		if mirror[i] == '-' {
			keys = append(keys, ExportKey{Datacenter: DatacenterName(mirror[i+1:]), Namespace: namespace, Name: mirror[:i]})
		}
	}
	return keys
}
