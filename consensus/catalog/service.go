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
		return &Refusal{
			Code: CodeTooLarge, Field: "ports", Message: fmt.Sprintf("%d ports are too many", len(ports)),
			Remedy: fmt.Sprintf("use at most %d", maxPorts),
		}
	}
	refuse := func(i int, message, remedy string) *Refusal {
		return &Refusal{Code: CodePortInvalid, Field: At("ports", i), Message: message, Remedy: remedy}
	}
	for i, p := range ports {
		switch {
		case p.Number == 0:
			return refuse(i, "port number 0 is not valid", "use 1 to 65535")
		case p.Protocol != "tcp" && p.Protocol != "udp":
			return refuse(i, fmt.Sprintf("protocol %q is unknown", Shorten(p.Protocol)), "use tcp or udp")
		case p.Name == "" && len(ports) > 1:
			return refuse(i, "the port has no name", "name each port if there are several")
		case p.Name != "" && !isLabel(p.Name):
			return refuse(i, fmt.Sprintf("name %q is not a DNS label", Shorten(p.Name)), "use a-z, 0-9 and '-'")
		}
		for _, o := range ports[:i] {
			if o.Name == p.Name || o.Number == p.Number && o.Protocol == p.Protocol {
				return refuse(i, "the port name or number is repeated", "give each port a unique name and number")
			}
		}
	}
	return nil
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
