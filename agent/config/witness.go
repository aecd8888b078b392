package config

// witness refuses keys of what a witness does not have.
func (v validator) witness(raw rawConfig) {
	for _, list := range []struct {
		key    string
		values []*text
	}{
		{"prefixes.pods", raw.Prefixes.Pods},
		{"prefixes.services", raw.Prefixes.Services},
		{"prefixes.nodes", raw.Prefixes.Nodes},
		{"routing.yield", raw.Routing.Yield},
	} {
		if len(list.values) > 0 {
			v.refuseForWitness(list.key, list.values[0].at)
		}
	}
	if raw.Kubernetes.Enabled.on() {
		v.refuseForWitness("kubernetes.enabled", raw.Kubernetes.Enabled.at)
	}
	if confine := raw.Routing.Confine; confine != nil && !confine.value {
		v.refuseForWitness("routing.confine", confine.at)
	}
	for _, ranges := range raw.Routing.Accept {
		at := position{file: v.file}
		if len(ranges) > 0 {
			at = ranges[0].at
		}
		v.refuseForWitness("routing.accept", at)
		break
	}
	if len(raw.Services) > 0 {
		v.refuseForWitness("services", raw.Services[0].at)
	}
}

func (v validator) refuseForWitness(key string, at position) {
	v.faults.add(at, "%s: a witness only votes and carries no traffic; remove this key, or witness", key)
}
