package trust

import (
	"encoding/binary"

	"github.com/meshway/meshway/consensus/catalog"
)

// Level is the feature level of this build: it determines which fields a statement
// contains. A build signs and verifies up to its own level.
const Level = 1

// The domains separate the statements from each other and from everything else that
// the same key signs. An X.509 certificate and a TLS handshake begin differently.
const (
	gatewayDomain    = "meshway/record/gateway"
	datacenterDomain = "meshway/record/datacenter"
)

// statement builds the bytes that a signature covers. Texts are preceded by their
// length and lists by their number, so that no two records have the same bytes.
type statement []byte

func newStatement(domain, federation string, s catalog.Signature) statement {
	var b statement
	b.text(domain)
	b.number(uint64(s.Level))
	b.text(federation)
	b.number(s.Version)
	return b
}

func (b *statement) number(n uint64) { *b = binary.BigEndian.AppendUint64(*b, n) }

func (b *statement) text(s string) {
	b.number(uint64(len(s)))
	*b = append(*b, s...)
}

func (b *statement) texts(list []string) {
	b.number(uint64(len(list)))
	for _, s := range list {
		b.text(s)
	}
}

func (b *statement) flag(on bool) {
	if on {
		b.number(1)
		return
	}
	b.number(0)
}

// gatewayStatement contains all fields of g but its modified index, which each write
// changes, and its feature level, which earlier builds do not store: they must be able
// to verify the record. Only the leader reads it, which decides about the log anyway.
func gatewayStatement(federation string, g catalog.Gateway) []byte {
	b := newStatement(gatewayDomain, federation, g.Signature)
	b.text(string(g.Datacenter))
	b.text(g.Name)
	b.number(uint64(g.Index))
	b.text(string(g.PublicKey[:]))
	b.text(string(g.Overlay.AsSlice()))
	b.texts(g.Endpoints)
	b.texts(g.Controls)
	b.text(g.Version)
	b.flag(g.Draining)
	if g.Witness { // none in a federation that has builds without it
		b.flag(true)
	}
	return b
}

// datacenterStatement contains all fields of dc but its modified index. The time at
// which it joined binds it to one membership.
func datacenterStatement(federation string, dc catalog.Datacenter) []byte {
	b := newStatement(datacenterDomain, federation, dc.Signature)
	b.text(string(dc.Name))
	b.number(uint64(dc.Ordinal))
	b.text(string(dc.CACertificate))
	b.number(uint64(len(dc.Prefixes)))
	for _, p := range dc.Prefixes {
		b.text(p.CIDR.String())
		b.text(string(p.Kind))
	}
	b.number(uint64(dc.JoinedAt.Unix()))
	b.number(uint64(dc.JoinedAt.Nanosecond()))
	for _, s := range dc.Successions { // none in a federation that has builds without them
		b.text(string(s.Predecessor))
		b.text(string(s.Certificate))
		b.flag(s.Retired)
	}
	return b
}
