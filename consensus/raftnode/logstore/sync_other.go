//go:build !linux

package logstore

import "os"

func readByPage(*os.File) error { return nil }

func datasync(f *os.File) error { return f.Sync() }
