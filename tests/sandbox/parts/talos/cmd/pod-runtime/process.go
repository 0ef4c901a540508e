// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// starter starts all processes from one thread that never ends: the kernel kills a child with Pdeathsig when the thread
// that made it ends, not the process.
type starter struct{ work chan func() }

func newStarter() *starter {
	s := &starter{work: make(chan func())}

	go func() {
		runtime.LockOSThread()

		for job := range s.work {
			job()
		}
	}()

	return s
}

func (s *starter) start(command *exec.Cmd) error {
	done := make(chan error)
	s.work <- func() { done <- command.Start() }

	return <-done
}

// startStage starts a stage of pod-runtime with its plan and namespaces, and waits until it has become its program.
func (s *starter) startStage(command *exec.Cmd, plan any, namespaces []*os.File) error {
	planRead, planWrite, err := os.Pipe()
	if err != nil {
		return err
	}

	failureRead, failureWrite, err := os.Pipe()
	if err != nil {
		return errors.Join(err, planRead.Close(), planWrite.Close())
	}

	command.ExtraFiles = append([]*os.File{planRead, failureWrite}, namespaces...)
	err = s.start(command)
	err = errors.Join(err, planRead.Close(), failureWrite.Close())

	if err == nil {
		err = json.NewEncoder(planWrite).Encode(plan)
	}

	err = errors.Join(err, planWrite.Close())
	failure, _ := io.ReadAll(failureRead)
	_ = failureRead.Close()

	if len(failure) > 0 {
		_ = command.Wait()

		return errors.New(string(failure))
	}

	if err != nil && command.Process != nil {
		_ = command.Process.Kill()
		_ = command.Wait()
	}

	return err
}

// namespaces holds those of a pod; they live as long as the files are open.
type namespaces struct{ network, uts, ipc *os.File }

func (n *namespaces) files() []*os.File {
	var files []*os.File

	for _, file := range []*os.File{n.network, n.uts, n.ipc} {
		if file != nil {
			files = append(files, file)
		}
	}

	return files
}

// names shows in the process list what a stage was given.
func (n *namespaces) names() []string {
	names := make([]string, 0, 3)
	for _, file := range n.files() {
		names = append(names, file.Name())
	}

	return names
}

func (n *namespaces) close() error {
	var failures error
	for _, file := range n.files() {
		failures = errors.Join(failures, file.Close())
	}

	return failures
}

// newNamespaces makes them on a thread that ends afterwards.
func newNamespaces(hostname string, network bool) (*namespaces, error) {
	return onOwnThread(func() (*namespaces, error) {
		flags := unix.CLONE_NEWUTS | unix.CLONE_NEWIPC
		if network {
			flags |= unix.CLONE_NEWNET
		}

		if err := unix.Unshare(flags); err != nil {
			return nil, fmt.Errorf("make namespaces: %w", err)
		}

		if err := unix.Sethostname([]byte(hostname)); err != nil {
			return nil, err
		}

		made := &namespaces{}

		var err error

		if network {
			if made.network, err = os.Open("/proc/thread-self/ns/net"); err != nil {
				return nil, err
			}
		}

		if made.uts, err = os.Open("/proc/thread-self/ns/uts"); err != nil {
			return nil, errors.Join(err, made.close())
		}

		if made.ipc, err = os.Open("/proc/thread-self/ns/ipc"); err != nil {
			return nil, errors.Join(err, made.close())
		}

		return made, nil
	})
}

// onOwnThread runs job on a thread that is thrown away: what it did to its namespaces concerns no one else.
func onOwnThread[T any](job func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}

	done := make(chan outcome)

	go func() {
		runtime.LockOSThread() // and never unlocked

		value, err := job()
		done <- outcome{value, err}
	}()

	got := <-done

	return got.value, got.err
}
