package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// putServices registers services, all of the command or none.
func (w *writer) putServices(req request, body *catalogpb.PutServices) (Result, *Refusal) {
	services := make([]*Service, 0, len(body.GetServices()))
	for i, p := range body.GetServices() {
		s, err := ServiceFromProto(p)
		if err != nil {
			return Result{}, asRefusal(err).in(at("services", i))
		}
		if s.Owner == "" {
			s.Owner = req.author
		}
		if r := w.checkService(req, s); r != nil {
			return Result{}, r.in(at("services", i))
		}
		services = append(services, &s)
	}
	for _, s := range services {
		if have := service(w.txn, s.ServiceKey); have != nil && have.equal(s) {
			continue // ModifiedIndex stays, so that readers can skip the record
		}
		s.ModifiedIndex = w.index
		insert(w.txn, tableServices, s)
	}
	return Result{}, nil
}

func (s *Service) equal(o *Service) bool {
	return s.ServiceKey == o.ServiceKey && s.Owner == o.Owner && s.Address == o.Address &&
		slices.Equal(s.Ports, o.Ports) && maps.Equal(s.Labels, o.Labels)
}

func (w *writer) checkService(req request, s Service) *Refusal {
	if r := req.checkOwner("datacenter", s.Datacenter); r != nil {
		return r
	}
	if r := checkName("namespace", s.Namespace); r != nil {
		return r
	}
	if r := checkName("name", s.Name); r != nil {
		return r
	}
	if r := checkInstance(s.Instance); r != nil {
		return r
	}
	owner := gateway(w.txn, s.Owner)
	if owner == nil {
		return unknownGateway("owner", s.Owner)
	}
	if r := req.checkOwner("owner", owner.Datacenter); r != nil {
		return r
	}
	if dc := datacenter(w.txn, s.Datacenter); !dc.Contains(s.Address) || s.Address.Zone() != "" {
		return &Refusal{
			Code: CodeAddressForeign, Field: "address",
			Message: fmt.Sprintf("address %q is not in the prefixes of datacenter %s", addrText(s.Address), dc.Name),
			Remedy:  "use an address of " + prefixList(dc.Prefixes) + ", or announce its prefix",
		}
	}
	if r := checkPorts(s.Ports); r != nil {
		return r
	}
	return checkLabels(s.Labels)
}

func prefixList(prefixes []Prefix) string {
	const most = 8
	var texts []string
	for _, p := range prefixes {
		if len(texts) == most {
			texts = append(texts, "…")
			break
		}
		texts = append(texts, p.CIDR.String())
	}
	if len(texts) == 0 {
		return "the datacenter, which has no prefixes"
	}
	return strings.Join(texts, " ")
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
		Code: CodeServiceInvalid, Field: "instance", Message: fmt.Sprintf("%q is not a valid instance name", shorten(instance)),
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
		return &Refusal{Code: CodePortInvalid, Field: at("ports", i), Message: message, Remedy: remedy}
	}
	for i, p := range ports {
		switch {
		case p.Number == 0:
			return refuse(i, "port number 0 is not valid", "use 1 to 65535")
		case p.Protocol != "tcp" && p.Protocol != "udp":
			return refuse(i, fmt.Sprintf("protocol %q is unknown", shorten(p.Protocol)), "use tcp or udp")
		case p.Name == "" && len(ports) > 1:
			return refuse(i, "the port has no name", "name each port if there are several")
		case p.Name != "" && !isLabel(p.Name):
			return refuse(i, fmt.Sprintf("name %q is not a DNS label", shorten(p.Name)), "use a-z, 0-9 and '-'")
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

func (w *writer) deleteServices(req request, body *catalogpb.DeleteServices) (Result, *Refusal) {
	for i, p := range body.GetServices() {
		if r := req.checkOwner("datacenter", DatacenterName(p.GetDatacenter())); r != nil {
			return Result{}, r.in(at("services", i))
		}
	}
	for _, p := range body.GetServices() {
		if s := service(w.txn, serviceKeyFromProto(p)); s != nil {
			remove(w.txn, tableServices, s)
		}
	}
	return Result{}, nil
}
