// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// containerLog writes what a container prints in the CRI's log format: `<time> <stream> <F|P> <line>`.
type containerLog struct {
	path string

	mu      sync.Mutex
	file    *os.File
	streams []*logStream
	readers map[io.Writer]string // who is attached, and to which stream
}

// Longer lines are written in parts, as containerd does.
const longestLine = 16 * 1024

func newContainerLog(directory, name string) (*containerLog, error) {
	if directory == "" || name == "" {
		return &containerLog{readers: map[io.Writer]string{}}, nil
	}

	log := &containerLog{path: filepath.Join(directory, name), readers: map[io.Writer]string{}}

	return log, log.reopen()
}

func (l *containerLog) reopen() error {
	if l.path == "" {
		return nil
	}

	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return err
	}

	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	if l.file != nil {
		_ = l.file.Close()
	}

	l.file = file

	return nil
}

func (l *containerLog) stream(name string) io.Writer {
	l.mu.Lock()
	defer l.mu.Unlock()

	one := &logStream{log: l, name: name}
	l.streams = append(l.streams, one)

	return one
}

// end writes what came without a line end, and closes.
func (l *containerLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()

	for _, one := range l.streams {
		if len(one.rest) > 0 {
			l.line(one.name, "F", one.rest)
			one.rest = nil
		}
	}

	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}

func (l *containerLog) line(stream, tag string, text []byte) {
	if l.file == nil {
		return
	}

	line := append([]byte(time.Now().UTC().Format(time.RFC3339Nano)+" "+stream+" "+tag+" "), text...)
	_, _ = l.file.Write(append(line, '\n'))
}

// attach sends a copy of what comes from now on to writer.
func (l *containerLog) attach(stream string, writer io.Writer) (detach func()) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.readers[writer] = stream

	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()

		delete(l.readers, writer)
	}
}

type logStream struct {
	log  *containerLog
	name string
	rest []byte
}

// Write never fails: a container does not die of its log.
func (s *logStream) Write(data []byte) (int, error) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()

	for writer, stream := range s.log.readers {
		if stream == s.name {
			_, _ = writer.Write(data)
		}
	}

	s.rest = append(s.rest, data...)

	for {
		line, rest, found := bytes.Cut(s.rest, []byte{'\n'})

		switch {
		case found && len(line) <= longestLine:
			s.log.line(s.name, "F", line)
			s.rest = rest
		case len(s.rest) > longestLine:
			s.log.line(s.name, "P", s.rest[:longestLine])
			s.rest = s.rest[longestLine:]
		default:
			s.rest = bytes.Clone(s.rest)

			return len(data), nil
		}
	}
}
