package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Equal reports whether s and o are equal apart from ModifiedIndex.
func (s Service) Equal(o Service) bool {
	return s.ServiceKey == o.ServiceKey && s.Owner == o.Owner && s.Address == o.Address &&
		slices.Equal(s.Ports, o.Ports) && maps.Equal(s.Labels, o.Labels)
}

// Check returns why the catalog refuses k, or nil. It does not check the datacenter.
func (k ServiceKey) Check() *Refusal {
	if r := CheckName("namespace", k.Namespace); r != nil {
		return r
	}
	if r := CheckName("name", k.Name); r != nil {
		return r
	}
	return checkInstance(k.Instance)
}

// Check returns why the catalog refuses ports and labels of s, or nil.
func (s Service) Check() *Refusal {
	if r := checkPorts(s.Ports); r != nil {
		return r
	}
	return checkLabels(s.Labels)
}

// checkInstance allows the names of pods and hosts, and an address with a port.
func checkInstance(instance string) *Refusal {
	isText := onlyBytes(instance, func(c byte) bool {
		return isAlphanumeric(c) || strings.IndexByte("-._:[]", c) >= 0
	})
	if instance != "" && len(instance) <= maxInstanceLength && isText {
		return nil
	}
	return &Refusal{
		Code: CodeServiceInvalid, Field: "instance", Message: fmt.Sprintf("%q is not a valid instance name", Shorten(instance)),
		Remedy: fmt.Sprintf("use 1 to %d letters, digits and -._:[]", maxInstanceLength),
	}
}

func checkPorts(ports []Port) *Refusal {
	if len(ports) > maxPorts {
		return tooLarge("ports", fmt.Sprintf("%d ports are too many", len(ports)), fmt.Sprintf("use at most %d", maxPorts))
	}
	for i, p := range ports {
		if r := checkPort(i, p.Number, p.Protocol, p.Name, "tcp", "udp"); r != nil {
			return r
		}
		if p.Name == "" && len(ports) > 1 {
			return refusePort(i, "the port has no name", "name each port if there are several")
		}
		for _, o := range ports[:i] {
			if o.Name == p.Name || o.Number == p.Number && o.Protocol == p.Protocol {
				return refusePort(i, "the port name or number is repeated", "give each port a unique name and number")
			}
		}
	}
	return nil
}

// checkPort checks the port at index i. An empty name is that of a lone port.
func checkPort(i int, number uint16, protocol, name string, protocols ...string) *Refusal {
	switch {
	case number == 0:
		return refusePort(i, "port number 0 is not valid", "use 1 to 65535")
	case !slices.Contains(protocols, protocol):
		last := len(protocols) - 1
		return refusePort(i, fmt.Sprintf("protocol %q is unknown", Shorten(protocol)),
			fmt.Sprintf("use %s or %s", strings.Join(protocols[:last], ", "), protocols[last]))
	case name != "" && !isLabel(name):
		return refusePort(i, fmt.Sprintf("name %q is not a DNS label", Shorten(name)), "use a-z, 0-9 and '-'")
	}
	return nil
}

func refusePort(i int, message, remedy string) *Refusal {
	return &Refusal{Code: CodePortInvalid, Field: At("ports", i), Message: message, Remedy: remedy}
}

// checkLabels iterates over the map for results that do not depend on its order.
func checkLabels(labels map[string]string) *Refusal {
	size, unnamed := 0, false
	for k, v := range labels {
		size += len(k) + len(v)
		unnamed = unnamed || k == ""
	}
	if len(labels) <= maxLabels && size <= maxLabelsSize && !unnamed {
		return nil
	}
	return &Refusal{
		Code: CodeLabelsInvalid, Field: "labels",
		Message: fmt.Sprintf("%d labels of %d bytes are too many, or one has no key", len(labels), size),
		Remedy:  fmt.Sprintf("use at most %d labels of %d bytes together", maxLabels, maxLabelsSize),
	}
}
