package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus/archive"
	"github.com/meshway/meshway/consensus/archive/archivetest"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/consensustest"
)

func newView(t testing.TB) *replica.View {
	t.Helper()
	init := consensustest.NewInit(consensustest.DatacenterName(0), "gw0")
	key := consensustest.Key{Owner: "dc0/gw0", Name: "web"}
	set := key.Set("x")
	state := replica.New()
	for i, cmd := range []consensustest.Command{init, set} {
		cmd.Author, cmd.At = "dc0/gw0", timestamppb.New(time.Unix(1_800_000_000, 0))
		entry, err := catalog.Marshal(cmd)
		require.NoError(t, err)
		results, err := state.Apply(uint64(i+1), entry)
		require.NoError(t, err)
		require.Nil(t, results[0].Refusal)
	}
	return state.View()
}

func pack(t testing.TB) []byte {
	t.Helper()
	data, _, err := archive.Pack(archive.Info{Term: 3, Gateway: "dc0/gw0", SavedAt: time.Unix(1_800_000_000, 0).UTC()}, newView(t), nil)
	require.NoError(t, err)
	return data
}

// unpack returns the description of an archive and its catalog, encoded.
func unpack(t *testing.T, content []byte) (archive.Info, []byte, error) {
	t.Helper()
	opened, err := archive.Open(content)
	if err != nil {
		return archive.Info{}, nil, err
	}
	state, err := opened.Catalog()
	if err != nil {
		return archive.Info{}, nil, err
	}
	return opened.Info(), consensustest.Encode(t, state.View()), nil
}

func TestArchiveContainsAndDescribesTheCatalog(t *testing.T) {
	info, stream, err := unpack(t, pack(t))
	require.NoError(t, err)
	require.Equal(t, archive.Info{
		Version: 1, Index: 2, Term: 3, Federation: consensustest.Federation, FederationName: "test",
		Gateway: "dc0/gw0", SavedAt: time.Unix(1_800_000_000, 0).UTC(), Size: int64(len(stream)),
		SHA256: info.SHA256, Datacenters: 1, Gateways: 1, Services: 1,
	}, info)
	require.Equal(t, consensustest.Encode(t, newView(t)), stream)
	require.Equal(t, pack(t), pack(t), "the same catalog produces the same bytes")
}

func TestArchiveHasTheCertificateOfTheDatacenterThatSavedIt(t *testing.T) {
	opened, err := archive.Open(pack(t))
	require.NoError(t, err)
	dc, _ := newView(t).Datacenter("dc0")
	require.NotEmpty(t, dc.CACertificate)
	require.Equal(t, dc.CACertificate, opened.SignerCA())
	opened, err = archive.Open(archivetest.Forge(t, archive.Info{Gateway: "dc1/gw0"}, consensustest.Encode(t, newView(t))))
	require.NoError(t, err)
	require.Nil(t, opened.SignerCA())
}

func TestDamagedArchiveIsRefusedOrReadUnchanged(t *testing.T) {
	whole := pack(t)
	for n := range whole {
		_, err := archive.Inspect(whole[:n])
		require.ErrorIs(t, err, archive.ErrInvalid, "cut at %d", n)
	}
	wantInfo, wantStream, err := unpack(t, whole)
	require.NoError(t, err)
	accepted := 0
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 0x40
		info, stream, err := unpack(t, bad)
		if err != nil {
			require.ErrorIs(t, err, archive.ErrInvalid)
			continue
		}
		accepted++ // a byte of the header of gzip or of padding
		require.Equal(t, wantInfo, info, "byte %d", i)
		require.Equal(t, wantStream, stream, "byte %d", i)
	}
	require.Less(t, accepted, 20)
}

// rewrite changes the files of an archive.
func rewrite(t *testing.T, data []byte, change func(name string, content []byte) (string, []byte)) []byte {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(data))
	require.NoError(t, err)
	in := tar.NewReader(unzipped)
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	w := tar.NewWriter(zipped)
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		content, err := io.ReadAll(in)
		require.NoError(t, err)
		header.Name, content = change(header.Name, content)
		header.Size = int64(len(content))
		require.NoError(t, w.WriteHeader(header))
		_, err = w.Write(content)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, zipped.Close())
	return out.Bytes()
}

func TestEditedArchiveIsRefused(t *testing.T) {
	edit := func(f func(i *archive.Info)) func(string, []byte) (string, []byte) {
		return func(name string, content []byte) (string, []byte) {
			if name != "meta.json" {
				return name, content
			}
			var info archive.Info
			require.NoError(t, json.Unmarshal(content, &info))
			f(&info)
			content, err := json.Marshal(info)
			require.NoError(t, err)
			return name, content
		}
	}
	for name, tc := range map[string]struct {
		change func(string, []byte) (string, []byte)
		want   string
	}{
		"index":      {edit(func(i *archive.Info) { i.Index++ }), "does not describe"},
		"federation": {edit(func(i *archive.Info) { i.Federation = "other" }), "does not describe"},
		"sum":        {edit(func(i *archive.Info) { i.SHA256 = "00" }), "was altered"},
		"version":    {edit(func(i *archive.Info) { i.Version = 2 }), "this build reads version 1"},
		"name":       {func(name string, content []byte) (string, []byte) { return "../" + name, content }, "should be"},
		"catalog": {func(name string, content []byte) (string, []byte) {
			if name == "catalog.bin" {
				content = append(bytes.Clone(content), 0)
			}
			return name, content
		}, "was altered"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := archive.Inspect(rewrite(t, pack(t), tc.change))
			require.ErrorIs(t, err, archive.ErrInvalid)
			require.ErrorContains(t, err, tc.want)
		})
	}
	same := rewrite(t, pack(t), func(name string, content []byte) (string, []byte) { return name, content })
	_, err := archive.Inspect(same)
	require.NoError(t, err)
}

func FuzzInspect(f *testing.F) {
	whole := pack(f)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := archive.Inspect(data); err != nil {
			require.ErrorIs(t, err, archive.ErrInvalid)
		}
	})
}
