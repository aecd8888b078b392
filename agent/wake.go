package agent

// wake tells a loop to look again. Many calls before the loop looks are one.
type wake chan struct{}

func newWake() wake { return make(wake, 1) }

func (w wake) up() {
	select {
	case w <- struct{}{}:
	default:
	}
}
