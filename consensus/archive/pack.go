package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// CodeTooLarge is the code of the refusal to save a catalog that is too large for an
// archive.
const CodeTooLarge = "snapshot-too-large"

// Pack returns an archive of view and its description. It takes Term, Gateway and
// SavedAt from info and sets the other fields. Unless sign is nil, it signs the archive;
// otherwise the same input produces the same bytes. A catalog that is larger than an
// archive may be is refused with CodeTooLarge.
func Pack(info Info, view *replica.View, sign Signer) ([]byte, Info, error) {
	return pack(info, view, sign, maxCatalog())
}

// pack encodes the catalog twice, because its hash precedes it, and holds only the
// archive in memory.
func pack(info Info, view *replica.View, sign Signer, most bounds) ([]byte, Info, error) {
	m := &measure{most: most, sum: sha256.New()}
	if err := view.Encode(m); err != nil {
		return nil, Info{}, fmt.Errorf("pack snapshot: %w", err)
	}
	describe(&info, view)
	info.Version, info.Size, info.SHA256 = Version, m.size, hex.EncodeToString(m.sum.Sum(nil))
	if sign != nil {
		certificate, signature, err := sign(info.Statement())
		if err != nil {
			return nil, Info{}, fmt.Errorf("pack snapshot: %w", err)
		}
		info.Certificate, info.Signature = base64.StdEncoding.EncodeToString(certificate), base64.StdEncoding.EncodeToString(signature)
	}
	content, err := write(info, view)
	if err == nil && len(content) > MaxFile {
		err = tooLarge("bytes", MaxFile)
	}
	if err != nil {
		return nil, Info{}, fmt.Errorf("pack snapshot: %w", err)
	}
	return content, info, nil
}

// describe sets what a description has of the records of a catalog.
func describe(info *Info, view *replica.View) {
	federation, _ := view.Federation()
	info.Index = view.Index()
	info.Federation, info.FederationName = federation.ID, federation.Name
	info.Datacenters, info.Gateways = len(view.Datacenters()), len(view.Gateways())
	info.Services = len(view.Services(replica.ServiceFilter{}))
}

func write(info Info, view *replica.View) ([]byte, error) {
	meta, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return nil, err
	}
	meta = append(meta, '\n')
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	tarred := tar.NewWriter(zipped)
	err = errors.Join(
		addFile(tarred, metaName, int64(len(meta)), func(w io.Writer) error {
			_, err := w.Write(meta)
			return err
		}),
		addFile(tarred, catalogName, info.Size, view.Encode),
		tarred.Close(), zipped.Close(),
	)
	return out.Bytes(), err
}

func addFile(w *tar.Writer, name string, size int64, content func(io.Writer) error) error {
	header := &tar.Header{Name: name, Mode: 0o600, Size: size, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	return content(w)
}

// measure counts and hashes the records of a catalog, each of which is written at once.
type measure struct {
	most    bounds
	size    int64
	records uint64
	sum     hash.Hash
}

func (m *measure) Write(record []byte) (int, error) {
	m.size += int64(len(record))
	m.records++
	if m.size > m.most.size {
		return 0, tooLarge("bytes", m.most.size)
	}
	if m.records > m.most.records {
		return 0, tooLarge("records", m.most.records)
	}
	return m.sum.Write(record)
}

func tooLarge[T int | int64 | uint64](of string, most T) error {
	return &catalog.Refusal{
		Code: CodeTooLarge, Message: fmt.Sprintf("the catalog is too large for a snapshot file, which has at most %d %s", most, of),
		Remedy: "remove registered services and exports that are not needed, then save the snapshot again",
	}
}
