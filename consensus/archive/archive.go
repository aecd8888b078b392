package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/meshway/meshway/consensus/catalog/replica"
)

const (
	// Version is the version of the archive format that this build writes and reads.
	Version = 1

	metaName    = "meta.json"
	catalogName = "catalog.bin"

	maxMeta    = 64 << 10
	maxCatalog = 256 << 20 // unpacked bytes, as many as a call may carry; protects against decompression bombs
)

// ErrInvalid reports that bytes are not a complete, unaltered archive.
var ErrInvalid = errors.New("not a valid catalog snapshot")

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

// Pack returns an archive of view and its description. It takes Term, Gateway and
// SavedAt from info and sets the other fields. Unless sign is nil, it signs the archive;
// otherwise the same input produces the same bytes.
func Pack(info Info, view *replica.View, sign Signer) ([]byte, Info, error) {
	var stream bytes.Buffer
	if err := view.Encode(&stream); err != nil {
		return nil, Info{}, fmt.Errorf("pack snapshot: %w", err)
	}
	describe(&info, view, stream.Bytes())
	if sign != nil {
		certificate, signature, err := sign(info.Statement())
		if err != nil {
			return nil, Info{}, fmt.Errorf("pack snapshot: %w", err)
		}
		info.Certificate, info.Signature = base64.StdEncoding.EncodeToString(certificate), base64.StdEncoding.EncodeToString(signature)
	}
	meta, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return nil, Info{}, fmt.Errorf("pack snapshot: %w", err)
	}
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	tarred := tar.NewWriter(zipped)
	err = errors.Join(
		addFile(tarred, metaName, append(meta, '\n')),
		addFile(tarred, catalogName, stream.Bytes()),
		tarred.Close(), zipped.Close(),
	)
	if err != nil {
		return nil, Info{}, fmt.Errorf("pack snapshot: %w", err)
	}
	return out.Bytes(), info, nil
}

func describe(info *Info, view *replica.View, stream []byte) {
	federation, _ := view.Federation()
	sum := sha256.Sum256(stream)
	info.Version = Version
	info.Index = view.Index()
	info.Federation, info.FederationName = federation.ID, federation.Name
	info.Size, info.SHA256 = int64(len(stream)), hex.EncodeToString(sum[:])
	info.Datacenters, info.Gateways = len(view.Datacenters()), len(view.Gateways())
	info.Services = len(view.Services(replica.ServiceFilter{}))
}

func addFile(w *tar.Writer, name string, data []byte) error {
	header := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(data)), Typeflag: tar.TypeReg, Format: tar.FormatPAX}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// Inspect verifies a whole archive and returns its description. The error is
// ErrInvalid.
func Inspect(archive []byte) (Info, error) {
	info, _, err := Unpack(archive)
	return info, err
}

// Unpack verifies an archive, including each record of the catalog, and returns its
// description and the encoded catalog. The error is ErrInvalid.
func Unpack(archive []byte) (Info, []byte, error) {
	meta, stream, err := readFiles(archive)
	if err != nil {
		return Info{}, nil, invalid(err)
	}
	var info Info
	if err := json.Unmarshal(meta, &info); err != nil {
		return Info{}, nil, invalid(fmt.Errorf("%s: %w", metaName, err))
	}
	if info.Version != Version {
		return Info{}, nil, invalid(fmt.Errorf(
			"the archive has version %d, this build reads version %d: use the meshctl of the release that saved it", info.Version, Version))
	}
	sum := sha256.Sum256(stream)
	if info.SHA256 != hex.EncodeToString(sum[:]) || info.Size != int64(len(stream)) {
		return Info{}, nil, invalid(errors.New("the catalog in the archive was altered"))
	}
	if err := verify(info, stream); err != nil {
		return Info{}, nil, invalid(err)
	}
	return info, stream, nil
}

// verify decodes the catalog and compares it with the description.
func verify(info Info, stream []byte) error {
	state, err := replica.Decode(bytes.NewReader(stream))
	if err != nil {
		return err
	}
	want := info
	describe(&want, state.View(), stream)
	if want != info {
		return fmt.Errorf("%s does not describe the catalog in the archive", metaName)
	}
	return nil
}

func invalid(err error) error { return fmt.Errorf("%w: %w", ErrInvalid, err) }

// readFiles returns the two files of an archive, which must be the only ones.
func readFiles(archive []byte) (meta, stream []byte, err error) {
	zipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, nil, err
	}
	zipped.Multistream(false)
	tarred := tar.NewReader(zipped)
	if meta, err = readFile(tarred, metaName, maxMeta); err != nil {
		return nil, nil, err
	}
	if stream, err = readFile(tarred, catalogName, maxCatalog); err != nil {
		return nil, nil, err
	}
	if _, err := tarred.Next(); !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("data follows %s", catalogName)
	}
	// gzip checks its checksum at the end of the stream, which tar does not reach.
	rest, err := io.Copy(io.Discard, io.LimitReader(zipped, maxMeta))
	if err != nil {
		return nil, nil, err
	}
	if rest >= maxMeta {
		return nil, nil, fmt.Errorf("data follows %s", catalogName)
	}
	return meta, stream, nil
}

func readFile(r *tar.Reader, name string, limit int64) ([]byte, error) {
	header, err := r.Next()
	if err != nil {
		return nil, fmt.Errorf("%s is missing: %w", name, err)
	}
	if header.Name != name || header.Typeflag != tar.TypeReg {
		return nil, fmt.Errorf("found %q where %s should be", header.Name, name)
	}
	if header.Size > limit {
		return nil, fmt.Errorf("%s has %d bytes, the maximum is %d", name, header.Size, limit)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}
