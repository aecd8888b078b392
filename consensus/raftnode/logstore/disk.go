package logstore

// Disk is called before each write of a log, so that a test can make it fail as that of a
// full or broken disk does.
type Disk interface {
	// Write returns how many of size bytes are written, and the error if fewer are.
	Write(size int) (int, error)
	// Sync flushes what was written to the disk. It returns an error if that fails.
	Sync() error
}

// watched is a directory whose files report to a Disk.
type watched struct {
	files

	disk Disk
}

// on returns the directory with that disk; nil: that of the host.
func on(dir string, disk Disk) files {
	if disk == nil {
		return directory(dir)
	}
	return watched{directory(dir), disk}
}

func (w watched) Open(name string) (file, error) {
	f, err := w.files.Open(name)
	return watchedFile{f, w.disk}, err
}

func (w watched) Create(name string) (file, error) {
	f, err := w.files.Create(name)
	return watchedFile{f, w.disk}, err
}

type watchedFile struct {
	file

	disk Disk
}

func (f watchedFile) WriteAt(data []byte, at int64) (int, error) {
	size, refused := f.disk.Write(len(data))
	n, err := f.file.WriteAt(data[:size], at)
	if err == nil {
		err = refused
	}
	return n, err
}

func (f watchedFile) Sync() error {
	if err := f.disk.Sync(); err != nil {
		return err
	}
	return f.file.Sync()
}
