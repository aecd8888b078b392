package disk

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/hashicorp/raft"
)

// sumFile has the checksum of the metadata of a snapshot, which raft writes without one:
// with another index in it, entries would be skipped. Builds before it wrote none.
const sumFile = "meta.sum"

// snapshotStore is raft's snapshots with checksums of their metadata. Those that are
// damaged are not listed.
type snapshotStore struct {
	raft.SnapshotStore

	dir  string
	disk Disk // nil: that of the host
}

// Create implements raft.SnapshotStore.
func (s snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, trans raft.Transport,
) (raft.SnapshotSink, error) {
	sink, err := s.SnapshotStore.Create(version, index, term, configuration, configurationIndex, trans)
	if err != nil {
		return nil, err
	}
	meta := raft.SnapshotMeta{
		Version: version, ID: sink.ID(), Index: index, Term: term, Configuration: configuration, ConfigurationIndex: configurationIndex,
	}
	return &snapshotSink{sink, false, filepath.Join(s.dir, sink.ID()+".tmp", sumFile), meta, s.disk}, nil
}

// List implements raft.SnapshotStore.
func (s snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	all, err := s.SnapshotStore.List()
	return slices.DeleteFunc(all, func(m *raft.SnapshotMeta) bool { return s.verify(m.ID, m) != nil }), err
}

// verifyNewest checks the metadata of the snapshot with the newest name: the one before it
// does not replace it, since the log may begin after it.
func (s snapshotStore) verifyNewest() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return explain(s.dir, err)
	}
	newest, place := "", [3]uint64{}
	for _, e := range entries {
		at := placeOf(e.Name())
		if e.IsDir() && !strings.HasSuffix(e.Name(), ".tmp") && slices.Compare(at[:], place[:]) >= 0 {
			newest, place = e.Name(), at
		}
	}
	if newest == "" {
		return nil
	}
	var meta raft.SnapshotMeta
	data, err := os.ReadFile(filepath.Join(s.dir, newest, "meta.json"))
	if err == nil {
		err = json.Unmarshal(data, &meta)
	}
	if err == nil {
		err = s.verify(newest, &meta)
	}
	if err != nil {
		return corrupt(filepath.Join(s.dir, newest), err)
	}
	return nil
}

// placeOf returns the term, the index and the time in the name of a snapshot.
func placeOf(name string) (place [3]uint64) {
	_, _ = fmt.Sscanf(name, "%d-%d-%d", &place[0], &place[1], &place[2]) // zeros: another name
	return place
}

// verify returns why the metadata of the snapshot of that name is not what was written.
func (s snapshotStore) verify(name string, meta *raft.SnapshotMeta) error {
	stat, err := os.Stat(filepath.Join(s.dir, name, "state.bin"))
	if err != nil {
		return err
	}
	sum, err := os.ReadFile(filepath.Join(s.dir, name, sumFile))
	at := placeOf(name)
	switch {
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return err
	case err == nil && string(sum) != sumOf(meta), meta.ID != name, meta.Term != at[0], meta.Index != at[1]:
		return errors.New("its metadata is damaged")
	case stat.Size() != meta.Size:
		return fmt.Errorf("it has %d bytes of %d", stat.Size(), meta.Size)
	}
	return nil
}

// sumOf returns the checksum of what is known of a snapshot before it is written. Size and
// checksum of the content are verified with the content.
func sumOf(meta *raft.SnapshotMeta) string {
	known := fmt.Appendf(nil, "%d %s %d %d %d ", meta.Version, meta.ID, meta.Index, meta.Term, meta.ConfigurationIndex)
	sum := sha256.Sum256(append(known, raft.EncodeConfiguration(meta.Configuration)...))
	return hex.EncodeToString(sum[:])
}

type snapshotSink struct {
	raft.SnapshotSink

	closed  bool
	sumPath string
	meta    raft.SnapshotMeta
	disk    Disk
}

// Write implements io.Writer.
func (s *snapshotSink) Write(data []byte) (int, error) {
	if s.disk == nil {
		return s.SnapshotSink.Write(data)
	}
	s.disk.Wait()
	size, refused := s.disk.Write(len(data))
	n, err := s.SnapshotSink.Write(data[:size])
	if err == nil {
		err = refused
	}
	return n, err
}

// Close implements io.Closer. A snapshot that is not complete is not kept. Raft may call
// it twice.
func (s *snapshotSink) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if s.disk != nil {
		s.disk.Wait()
		if err := s.disk.Sync(); err != nil {
			return errors.Join(err, s.Cancel())
		}
	}
	if err := renameio.WriteFile(s.sumPath, []byte(sumOf(&s.meta)), 0o600); err != nil {
		return errors.Join(err, s.Cancel())
	}
	return s.SnapshotSink.Close()
}
