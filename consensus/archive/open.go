package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/catalog/snapshot"
)

// ErrInvalid reports that bytes are not a complete, unaltered archive.
var ErrInvalid = errors.New("not a valid catalog snapshot")

// Archive is an archive that matches its description, as far as this can be verified
// without decoding the catalog.
type Archive struct {
	content []byte
	info    Info
	signer  []byte
}

// Open verifies the size, the hash and the number of records of an archive, in a stream:
// what it needs of memory does not grow with the catalog. So the origin of an archive, and
// its federation, can be verified before the catalog is decoded. The error is ErrInvalid.
func Open(content []byte) (*Archive, error) { return open(content, maxCatalog()) }

func open(content []byte, most bounds) (*Archive, error) {
	if len(content) > MaxFile {
		return nil, invalid(fmt.Errorf("it has %d bytes, the maximum is %d", len(content), MaxFile))
	}
	a := &Archive{content: content}
	r, err := newReader(content, most.size)
	if err != nil {
		return nil, invalid(err)
	}
	if err := a.scan(r, most); err != nil {
		return nil, invalid(err)
	}
	return a, nil
}

// Info returns the description.
func (a *Archive) Info() Info { return a.info }

// SignerCA returns the CA certificate (DER) that the catalog has of the datacenter whose
// gateway saved the archive, nil if it has none.
func (a *Archive) SignerCA() []byte { return a.signer }

// Catalog decodes the catalog and compares it with the description. The error is
// ErrInvalid.
func (a *Archive) Catalog() (*replica.State, error) {
	r, err := newReader(a.content, a.info.Size)
	if err != nil {
		return nil, invalid(err)
	}
	if err := errors.Join(r.next(metaName, maxMeta), r.next(catalogName, a.info.Size)); err != nil {
		return nil, invalid(err)
	}
	state, err := replica.Decode(r.tar)
	if err != nil {
		return nil, invalid(err)
	}
	want := a.info
	describe(&want, state.View())
	if want != a.info {
		return nil, invalid(fmt.Errorf("%s does not describe the catalog in the archive", metaName))
	}
	return state, nil
}

// Inspect verifies a whole archive, including each record of the catalog, and returns its
// description. The error is ErrInvalid.
func Inspect(content []byte) (Info, error) {
	a, err := Open(content)
	if err != nil {
		return Info{}, err
	}
	if _, err := a.Catalog(); err != nil {
		return Info{}, err
	}
	return a.info, nil
}

func invalid(err error) error { return fmt.Errorf("%w: %w", ErrInvalid, err) }

// scan reads the two files of an archive, which must be the only ones.
func (a *Archive) scan(r *reader, most bounds) error {
	if err := r.next(metaName, maxMeta); err != nil {
		return err
	}
	meta, err := io.ReadAll(r.tar)
	if err != nil {
		return fmt.Errorf("read %s: %w", metaName, err)
	}
	if err := a.describe(meta); err != nil {
		return err
	}
	if err := r.next(catalogName, most.size); err != nil {
		return err
	}
	if r.size != a.info.Size {
		return errAltered
	}
	sum := sha256.New()
	hashed := io.TeeReader(r.tar, sum)
	damage := snapshot.Scan(hashed, most.records, a.keepSigner)
	if _, err := io.Copy(io.Discard, hashed); err != nil {
		return fmt.Errorf("read %s: %w", catalogName, err)
	}
	if a.info.SHA256 != hex.EncodeToString(sum.Sum(nil)) {
		return errAltered
	}
	if damage != nil {
		return damage
	}
	return r.end()
}

var errAltered = errors.New("the catalog in the archive was altered")

func (a *Archive) describe(meta []byte) error {
	if err := json.Unmarshal(meta, &a.info); err != nil {
		return fmt.Errorf("%s: %w", metaName, err)
	}
	if a.info.Version != Version {
		return fmt.Errorf("the archive has version %d, this build reads version %d: use the meshctl of the release that saved it", a.info.Version, Version)
	}
	return nil
}

// keepSigner keeps the CA of the datacenter that signed the archive.
func (a *Archive) keepSigner(record []byte) {
	const datacenterField = 3 // of the message Record
	if field, _, _ := protowire.ConsumeTag(record); field != datacenterField || a.signer != nil {
		return
	}
	var p catalogpb.Record
	if proto.Unmarshal(record, &p) != nil {
		return // Catalog refuses it
	}
	if dc := p.GetDatacenter(); dc.GetName() == string(catalog.GatewayID(a.info.Gateway).Datacenter()) {
		a.signer = dc.GetCaCertificate()
	}
}

// reader reads the files of an archive.
type reader struct {
	source *bytes.Reader // the rest of the archive
	zipped io.Reader
	tar    *tar.Reader
	size   int64 // of the file
}

// overhead is more than what the description, the headers and the padding of an archive
// take, unpacked.
const overhead = 1 << 20

// newReader returns a reader of an archive whose catalog has at most size bytes.
func newReader(content []byte, size int64) (*reader, error) {
	r := &reader{source: bytes.NewReader(content)}
	unzipped, err := gzip.NewReader(r.source)
	if err != nil {
		return nil, err
	}
	unzipped.Multistream(false)
	// A header of tar has any number of extensions.
	r.zipped = io.LimitReader(unzipped, size+overhead)
	r.tar = tar.NewReader(r.zipped)
	return r, nil
}

// next continues with the next file, which must have a name.
func (r *reader) next(name string, limit int64) error {
	header, err := r.tar.Next()
	if err != nil {
		return fmt.Errorf("%s is missing: %w", name, err)
	}
	if header.Name != name || header.Typeflag != tar.TypeReg {
		return fmt.Errorf("found %q where %s should be", catalog.Shorten(header.Name), name)
	}
	if header.Size > limit {
		return fmt.Errorf("%s has %d bytes, the maximum is %d", name, header.Size, limit)
	}
	r.size = header.Size
	return nil
}

// end checks that nothing follows the files. gzip verifies its checksum at the end of its
// stream, which tar does not reach.
func (r *reader) end() error {
	if _, err := r.tar.Next(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("data follows %s", catalogName)
	}
	rest, err := io.Copy(io.Discard, io.LimitReader(r.zipped, maxMeta))
	if err != nil {
		return err
	}
	if rest >= maxMeta || r.source.Len() > 0 {
		return fmt.Errorf("data follows %s", catalogName)
	}
	return nil
}
