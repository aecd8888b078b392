package mcs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// RefusedMirror is a mirror that is not written, because its name belongs to an
// export of another name.
type RefusedMirror struct {
	Name   string // of the Service
	Reason string
}

// Rivals returns the exports of other names in the namespace of name that require
// a Service of the same name as a mirror of name: the mirrors of service a of
// datacenter b-c and of service a-b of datacenter c are both called a-b-c. A derived
// Service can have the name of a mirror too.
func Rivals(v *replica.View, name catalog.ServiceName) []catalog.Export {
	var rivals []catalog.Export
	for _, e := range v.Exports(replica.ExportFilter{Namespace: name.Namespace, Name: name.Name}) {
		if !e.Mirror {
			continue
		}
		mirror := e.MirrorName()
		for _, k := range catalog.MirrorKeys(name.Namespace, mirror) {
			for _, o := range v.Exports(replica.ExportFilter(k)) {
				if o.Mirror && o.Name != name.Name {
					rivals = append(rivals, o)
				}
			}
		}
		if !derivedForm(mirror) {
			continue
		}
		for _, o := range v.Exports(replica.ExportFilter{}) { // rare
			if o.Namespace == name.Namespace && o.Name != name.Name && derivedNameOf(o) == mirror {
				rivals = append(rivals, o)
			}
		}
	}
	return rivals
}

// Contenders returns the names whose mirrors a change of the exports of name can
// affect, exported or not.
func Contenders(v *replica.View, name catalog.ServiceName) []catalog.ServiceName {
	services := []string{DerivedName(name)}
	for _, e := range v.Exports(replica.ExportFilter{Namespace: name.Namespace, Name: name.Name}) {
		if e.Mirror {
			services = append(services, e.MirrorName())
		}
	}
	var names []catalog.ServiceName
	for _, s := range services {
		names = append(names, MirroredNames(name.Namespace, s)...)
	}
	return slices.DeleteFunc(names, func(n catalog.ServiceName) bool { return n == name })
}

// MirroredNames returns the exported names of which a Service can be the mirror,
// by its name.
func MirroredNames(namespace, service string) []catalog.ServiceName {
	var names []catalog.ServiceName
	for _, k := range catalog.MirrorKeys(namespace, service) {
		names = append(names, catalog.ServiceName{Namespace: k.Namespace, Name: k.Name})
	}
	return names
}

// derivedForm reports whether a derived Service could have a name.
func derivedForm(service string) bool {
	rest, derived := strings.CutPrefix(service, derivedPrefix)
	return derived && len(rest) == hashLength
}

func derivedNameOf(e catalog.Export) string {
	return DerivedName(catalog.ServiceName{Namespace: e.Namespace, Name: e.Name})
}

// precedence returns the rival to which the name of the mirror of e belongs, and
// reports false if it belongs to e. A derived Service has precedence, since its name
// is fixed; of mirrors, that of the oldest export.
func precedence(e catalog.Export, rivals []catalog.Export) (catalog.Export, bool) {
	mirror := e.MirrorName()
	first, lost := e, false
	for _, r := range rivals {
		switch {
		case derivedNameOf(r) == mirror:
			return r, true
		case r.Mirror && r.MirrorName() == mirror && compareAge(r, first) < 0:
			first, lost = r, true
		}
	}
	return first, lost
}

// compareAge orders exports by precedence.
func compareAge(a, b catalog.Export) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.Datacenter, b.Datacenter))
}

// nameTaken describes why the mirror of e is not written.
func nameTaken(e, rival catalog.Export) string {
	owner := fmt.Sprintf("the mirror of %s/%s of datacenter %s, whose export is older", rival.Namespace, rival.Name, rival.Datacenter)
	if derivedNameOf(rival) == e.MirrorName() {
		owner = fmt.Sprintf("the derived Service of %s/%s", rival.Namespace, rival.Name)
	}
	return fmt.Sprintf("it is %s: export %s of datacenter %s under another name", owner, e.Name, e.Datacenter)
}

// WithRivals returns p with the reason in the condition Valid if the other clusters
// do not mirror its export, because the name of the mirror belongs to a rival.
func (p Publication) WithRivals(rivals []catalog.Export) Publication {
	if p.Export == nil || !p.Export.Mirror {
		return p
	}
	if rival, lost := precedence(*p.Export, rivals); lost {
		p.Valid.Message = shorten(fmt.Sprintf("%s; annotation %s: other clusters cannot use the name %s: %s",
			p.Valid.Message, MirrorAnnotation, p.Export.MirrorName(), nameTaken(*p.Export, rival)))
	}
	return p
}
