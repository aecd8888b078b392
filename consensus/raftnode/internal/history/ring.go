package history

// ring has the newest events of one datacenter. It is not empty.
type ring struct {
	events []event // ascending, from the oldest on
	oldest int
}

// add adds an event, in the place of the oldest one if there is no room.
func (r *ring) add(e event) {
	if len(r.events) > 0 && r.newest().Author == e.Author {
		e.Author = r.newest().Author // one copy of the text
	}
	if len(r.events) < perAuthor {
		r.events = append(r.events, e)
		return
	}
	r.events[r.oldest] = e
	r.oldest = (r.oldest + 1) % perAuthor
}

func (r *ring) newest() event {
	return r.events[(r.oldest+len(r.events)-1)%len(r.events)]
}
