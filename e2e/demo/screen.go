//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

const (
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
	cyan  = "\x1b[36m"
	plain = "\x1b[0m"

	eraseLine  = "\r\x1b[K"
	spinEvery  = 100 * time.Millisecond
	spinFrames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
)

// screen prints the tour. On a terminal it uses colours and a spinner.
type screen struct {
	w        io.Writer
	terminal bool
	steps    int

	mu       sync.Mutex // guards all following fields, and writes
	spinning bool       // the last line is a spinner
}

// step prints a title, runs f and prints its duration.
func (s *screen) step(title string, f func() error) error {
	s.steps++
	s.printf("\n%s\n", s.paint(bold, fmt.Sprintf("%2d  %s", s.steps, title)))
	start := time.Now()
	err := s.spin(start, f)
	took := time.Since(start).Round(10 * time.Millisecond)
	if err != nil {
		s.printf("    %s\n", s.paint(red, fmt.Sprintf("✗ failed after %s", took)))
		return fmt.Errorf("step %d, %s: %w", s.steps, title, err)
	}
	s.printf("    %s\n", s.paint(green, fmt.Sprintf("✓ %s", took)))
	return nil
}

// spin runs f, on a terminal with a spinner.
func (s *screen) spin(start time.Time, f func() error) error {
	if !s.terminal {
		return f()
	}
	stop := make(chan struct{})
	var spinner sync.WaitGroup
	spinner.Go(func() {
		ticker := time.NewTicker(spinEvery)
		defer ticker.Stop()
		for frame := 0; ; frame++ {
			select {
			case <-stop:
				return
			case <-ticker.C:
				s.drawSpinner(frame, time.Since(start))
			}
		}
	})
	defer spinner.Wait()
	defer close(stop)
	return f()
}

func (s *screen) drawSpinner(frame int, since time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	frames := []rune(spinFrames)
	fmt.Fprintf(s.w, "%s    %s%c %.1f s%s", eraseLine, cyan, frames[frame%len(frames)], since.Seconds(), plain)
	s.spinning = true
}

// note prints a line within a step.
func (s *screen) note(format string, args ...any) {
	s.printf("    %s\n", fmt.Sprintf(format, args...))
}

// prompt prints a command that an operator runs on a host.
func (s *screen) prompt(host, command string) {
	s.printf("    %s %s\n", s.paint(cyan, host+"#"), s.paint(bold, command))
}

// output prints the output of a command.
func (s *screen) output(text string) {
	for line := range strings.Lines(text) {
		s.printf("    %s\n", s.paint(dim, strings.TrimRight(line, "\n")))
	}
}

func (s *screen) printf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spinning {
		fmt.Fprint(s.w, eraseLine)
		s.spinning = false
	}
	fmt.Fprintf(s.w, format, args...)
}

func (s *screen) paint(color, text string) string {
	if !s.terminal {
		return text
	}
	return color + text + plain
}
