package logstore

// index contains the place of each entry.
type index struct {
	first uint64     // index of the first entry; 0: there is none
	at    []position // of the entries, from the first on
}

// position is the place of one record.
type position struct {
	segment *segment
	offset  int
	size    int
}

func (x *index) last() uint64 {
	if x.first == 0 {
		return 0
	}
	return x.first + uint64(len(x.at)) - 1
}

// add adds the entry that follows the last one; any may be the first.
func (x *index) add(entry uint64, at position) {
	if x.first == 0 {
		x.first = entry
	}
	x.at = append(x.at, at)
}

func (x *index) find(entry uint64) (position, bool) {
	if x.first == 0 || entry < x.first || entry > x.last() {
		return position{}, false
	}
	return x.at[entry-x.first], true
}

// cut removes all entries after last.
func (x *index) cut(last uint64) {
	switch {
	case x.first == 0 || last >= x.last():
	case last < x.first:
		*x = index{}
	default:
		x.at = x.at[:last-x.first+1]
	}
}

// drop removes all entries before first, which is one of them.
func (x *index) drop(first uint64) {
	x.at = append([]position(nil), x.at[first-x.first:]...)
	x.first = first
}
