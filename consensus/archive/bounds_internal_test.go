package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// TestArchiveThatIsWrittenCanBeRead has catalogs at the bounds, and one above each.
func TestArchiveThatIsWrittenCanBeRead(t *testing.T) {
	view := replica.New().View()
	var whole bytes.Buffer
	require.NoError(t, view.Encode(&whole))
	size := int64(whole.Len())
	const records = 2 // header and trailer
	for _, test := range []struct {
		most bounds
		want string
	}{
		{bounds{size, records}, ""},
		{bounds{size - 1, records}, fmt.Sprint(size-1, " bytes")},
		{bounds{size, records - 1}, "1 records"},
	} {
		content, _, err := pack(Info{}, view, nil, test.most)
		if test.want == "" {
			require.NoError(t, err)
			_, err = open(content, test.most)
			require.NoError(t, err)
			continue
		}
		refusal := catalog.AsRefusal(err)
		require.NotNil(t, refusal)
		assert.Equal(t, CodeTooLarge, refusal.Code)
		assert.Contains(t, refusal.Message, test.want)
		content, _, err = Pack(Info{}, view, nil)
		require.NoError(t, err)
		_, err = open(content, test.most)
		require.ErrorIs(t, err, ErrInvalid)
	}
}

// A header of tar may be preceded by any number of extensions, which the reader of tar
// skips.
func TestHeadersThatUnpackToMoreThanAnArchiveAreRefused(t *testing.T) {
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	extension := extensionHeader(t, 512<<10)
	for range 8 {
		_, err := zipped.Write(extension)
		require.NoError(t, err)
	}
	w := tar.NewWriter(zipped)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: metaName, Typeflag: tar.TypeReg}))
	require.NoError(t, w.Close())
	require.NoError(t, zipped.Close())
	_, err := open(out.Bytes(), bounds{1 << 20, 100})
	require.ErrorIs(t, err, ErrInvalid)
	require.ErrorContains(t, err, "meta.json is missing")
	_, err = open(out.Bytes(), bounds{8 << 20, 100})
	require.NotContains(t, fmt.Sprint(err), "is missing", "the headers are valid")
}

// extensionHeader returns a header of tar with a comment.
func extensionHeader(t *testing.T, size int) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	record := fmt.Appendf(nil, "%d comment=%s\n", size, bytes.Repeat([]byte{'c'}, size-len(fmt.Sprint(size))-len(" comment=\n")))
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "x", Typeflag: tar.TypeReg, Size: int64(len(record)), Format: tar.FormatUSTAR}))
	_, err := w.Write(record)
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	header := out.Bytes()
	header[156] = tar.TypeXHeader
	sum := 0
	copy(header[148:156], "        ")
	for _, b := range header[:512] {
		sum += int(b)
	}
	copy(header[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return header
}
