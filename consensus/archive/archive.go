package archive

import (
	"encoding/binary"
	"strconv"
	"time"
)

const (
	// Version is the version of the archive format that this build writes and reads.
	Version = 1

	metaName    = "meta.json"
	catalogName = "catalog.bin"

	maxMeta = 64 << 10

	// MaxFile is the maximum size of an archive in bytes, so that a call can carry it.
	MaxFile = 255 << 20
)

// bounds are what a catalog in an archive may have. Pack and Open have the same, so that
// each archive can be read.
type bounds struct {
	size    int64
	records uint64
}

// maxCatalog returns the bounds of this version. In memory, a record takes about a
// kilobyte.
func maxCatalog() bounds { return bounds{size: 256 << 20, records: 1 << 20} }

// Info describes an archive. Its JSON is stable: fields are only added.
type Info struct {
	Version        int       `json:"version"`
	Index          uint64    `json:"index"` // raft index of the last entry in the catalog
	Term           uint64    `json:"term"`  // raft term at the time of saving
	Federation     string    `json:"federation"`
	FederationName string    `json:"federationName"`
	Gateway        string    `json:"gateway"` // that saved the archive
	SavedAt        time.Time `json:"savedAt"`
	Size           int64     `json:"size"`   // of the catalog, in bytes
	SHA256         string    `json:"sha256"` // of the catalog
	Datacenters    int       `json:"datacenters"`
	Gateways       int       `json:"gateways"`
	Services       int       `json:"services"`
	// Certificate (DER) and Signature are those of Gateway, in base64; empty in an
	// archive of an earlier build. They are verified before a restore: see Statement.
	Certificate string `json:"certificate,omitempty"`
	Signature   string `json:"signature,omitempty"`
}

// Statement returns the bytes that the signature of an archive covers: each text is
// preceded by its length, and the hash stands for the catalog.
func (i Info) Statement() []byte {
	var b []byte
	for _, text := range []string{
		"meshway/archive", strconv.Itoa(i.Version), i.Federation, i.Gateway, i.SavedAt.UTC().Format(time.RFC3339Nano),
		strconv.FormatUint(i.Index, 10), strconv.FormatUint(i.Term, 10), i.SHA256,
	} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(text)))
		b = append(b, text...)
	}
	return b
}

// Signer signs a statement with the key of a certificate (DER).
type Signer func(statement []byte) (certificate, signature []byte, err error)
