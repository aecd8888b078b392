// Package keys builds the indexes of tables whose keys have parts.
package keys

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/hashicorp/go-memdb"
)

// index builds the keys of one index of records of type T. A key consists of
// parts, each terminated by a NUL, so that the first parts of a key are a prefix of
// the key and a query may omit the last parts.
type index[T any] struct {
	key func(*T) []byte
}

// FromObject implements memdb.SingleIndexer.
func (i index[T]) FromObject(raw any) (bool, []byte, error) {
	record, ok := raw.(*T)
	if !ok {
		return false, nil, fmt.Errorf("index %T: not a %T", raw, record)
	}
	return true, i.key(record), nil
}

// FromArgs implements memdb.Indexer. A string is a part, bytes are a whole key.
func (i index[T]) FromArgs(args ...any) ([]byte, error) {
	var key []byte
	for _, arg := range args {
		switch part := arg.(type) {
		case string:
			key = appendPart(key, part)
		case []byte:
			key = append(key, part...)
		default:
			return nil, fmt.Errorf("index argument %T: neither string nor bytes", arg)
		}
	}
	return key, nil
}

func appendPart(key []byte, part string) []byte {
	return append(append(key, part...), 0)
}

// Of returns the key with the given parts.
func Of(parts ...string) []byte {
	size := len(parts)
	for _, p := range parts {
		size += len(p)
	}
	key := make([]byte, 0, size)
	for _, p := range parts {
		key = appendPart(key, p)
	}
	return key
}

// Time returns a key that sorts by time.
func Time(t time.Time) []byte {
	key := binary.BigEndian.AppendUint64(make([]byte, 0, 12), uint64(t.Unix())^(1<<63))
	return binary.BigEndian.AppendUint32(key, uint32(t.Nanosecond()))
}

// Unique returns an index in which each key has one record.
func Unique[T any](name string, key func(*T) []byte) *memdb.IndexSchema {
	return &memdb.IndexSchema{Name: name, Unique: true, Indexer: index[T]{key}}
}

// NonUnique returns an index in which a key has several records.
func NonUnique[T any](name string, key func(*T) []byte) *memdb.IndexSchema {
	return &memdb.IndexSchema{Name: name, Indexer: index[T]{key}}
}

// Table returns the schema of a table.
func Table(name string, indexes ...*memdb.IndexSchema) *memdb.TableSchema {
	t := &memdb.TableSchema{Name: name, Indexes: make(map[string]*memdb.IndexSchema, len(indexes))}
	for _, i := range indexes {
		t.Indexes[i.Name] = i
	}
	return t
}
