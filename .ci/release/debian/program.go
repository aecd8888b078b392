package debian

import (
	"bytes"
	"debug/elf"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Programs returns programs or libraries, their interpreter and their libraries, with the
// paths at which the interpreter searches for them.
func (f Files) Programs(names ...string) (map[string][]byte, error) {
	found := map[string][]byte{}
	for _, name := range names {
		if err := f.addProgram(name, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// Extensions returns the libraries that iptables loads for the matches and targets of
// rules for IPv4 and IPv6, sorted.
func (f Files) Extensions() []string {
	var out []string
	for file := range f.names() {
		for _, family := range []string{"xt", "ipt", "ip6t"} {
			if matched, err := path.Match("/usr/lib/*-linux-gnu/xtables/lib"+family+"_*.so", file); err == nil && matched {
				out = append(out, file)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (f Files) addProgram(name string, found map[string][]byte) error {
	if _, ok := found[name]; ok {
		return nil
	}
	content, ok := f.read(name)
	if !ok {
		return fmt.Errorf("no package of the list has %s: run deploy/image/update", name)
	}
	found[name] = content
	program, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	for _, segment := range program.Progs {
		if segment.Type != elf.PT_INTERP {
			continue
		}
		interpreter := make([]byte, segment.Filesz)
		if _, err := segment.ReadAt(interpreter, 0); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if err := f.addProgram(strings.TrimRight(string(interpreter), "\x00"), found); err != nil {
			return err
		}
	}
	libraries, err := program.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("read libraries of %s: %w", name, err)
	}
	for _, library := range libraries {
		if hasBase(found, library) { // also the interpreter, on which libc depends
			continue
		}
		file, err := f.findLibrary(library)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := f.addProgram(file, found); err != nil {
			return err
		}
	}
	return nil
}

func hasBase(files map[string][]byte, base string) bool {
	for name := range files {
		if path.Base(name) == base {
			return true
		}
	}
	return false
}

// findLibrary returns the path of a library. The directories of Debian have the name of
// the processor: /usr/lib/x86_64-linux-gnu.
func (f Files) findLibrary(name string) (string, error) {
	for _, pattern := range []string{"/lib/*-linux-gnu/" + name, "/usr/lib/*-linux-gnu/" + name} {
		for file := range f.names() {
			if matched, err := path.Match(pattern, file); err == nil && matched {
				return file, nil
			}
		}
	}
	return "", fmt.Errorf("no package of the list has the library %s: run deploy/image/update", name)
}

func (f Files) names() func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range f.Content {
			if !yield(name) {
				return
			}
		}
		for name := range f.Links {
			if !yield(name) {
				return
			}
		}
	}
}

// Certificates returns the certificates of public authorities in one file, as
// update-ca-certificates writes them.
func (f Files) Certificates() ([]byte, error) {
	var all bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(f.Content)) {
		if strings.HasPrefix(name, "/usr/share/ca-certificates/") && strings.HasSuffix(name, ".crt") {
			all.Write(bytes.TrimRight(f.Content[name], "\n"))
			all.WriteByte('\n')
		}
	}
	if all.Len() == 0 {
		return nil, fmt.Errorf("no package of the list has certificates: run deploy/image/update")
	}
	return all.Bytes(), nil
}
