// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// containerPlan is all that a container's first process needs to know; it travels as JSON.
type containerPlan struct {
	Arguments   []string
	Environment []string
	Directory   string
	Mounts      []mountPlan // in the order of mounting
	Files       []filePlan
}

type mountPlan struct {
	Source, Target string // Source: a path of the node
	ReadOnly       bool
	Optional       bool // not every machine has it
}

type filePlan struct{ Path, Content string }

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/sandbox/bin"

// Entries of the machine's /etc that its programs and its TLS libraries need.
var lentEtc = []string{
	"ssl", "pki", "ca-certificates", "ca-certificates.conf", "alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "services", "protocols",
}

const users = "root:x:0:0:root:/root:/bin/sh\nharbor:x:10000:10000::/:/bin/false\nnonroot:x:65532:65532::/:/bin/false\n" +
	"nobody:x:65534:65534::/:/bin/false\n"

const groups = "root:x:0:\nharbor:x:10000:\nnonroot:x:65532:\nnobody:x:65534:\n"

// planContainer turns what the kubelet asks for into processes and mounts. resolvConf: content of the container's /etc/resolv.conf.
func planContainer(config *cri.ContainerConfig, image program, hostname, resolvConf string) (containerPlan, error) {
	arguments, err := arguments(config, image)
	if err != nil {
		return containerPlan{}, err
	}

	mounts, err := mounts(config, image)
	if err != nil {
		return containerPlan{}, err
	}

	return containerPlan{
		Arguments:   arguments,
		Environment: environment(config, hostname),
		Directory:   firstOf(config.GetWorkingDir(), image.Directory, "/"),
		Mounts:      mounts,
		Files: []filePlan{
			{"/etc/resolv.conf", resolvConf},
			{"/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"}, // the kubelet mounts its own over it
			{"/etc/hostname", hostname + "\n"},
			{"/etc/passwd", users},
			{"/etc/group", groups},
			{"/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"},
		},
	}, nil
}

// arguments follows the rule of Kubernetes: a command replaces the image's entrypoint and its arguments.
func arguments(config *cri.ContainerConfig, image program) ([]string, error) {
	command, rest := config.GetCommand(), config.GetArgs()
	if len(command) == 0 {
		command = image.Entrypoint

		if len(rest) == 0 {
			rest = image.Arguments
		}
	}

	if all := slices.Concat(command, rest); len(all) > 0 {
		return all, nil
	}

	return nil, status.Errorf(codes.InvalidArgument, "image %q names no entrypoint and the container no command", image.Image)
}

func environment(config *cri.ContainerConfig, hostname string) []string {
	variables := []string{"PATH=" + defaultPath, "HOSTNAME=" + hostname, "HOME=/root"}

	for _, one := range config.GetEnvs() {
		variables = slices.DeleteFunc(variables, func(old string) bool { return strings.HasPrefix(old, one.GetKey()+"=") })
		variables = append(variables, one.GetKey()+"="+string(one.GetValue()))
	}

	return variables
}

func mounts(config *cri.ContainerConfig, image program) ([]mountPlan, error) {
	var plans []mountPlan

	for _, name := range lentEtc {
		plans = append(plans, mountPlan{Source: path.Join(inHostEtc, name), Target: path.Join("/etc", name), ReadOnly: true, Optional: true})
	}

	if image.Program != "" {
		plans = append(plans, mountPlan{Source: path.Join(inBin, image.Program), Target: image.Path, ReadOnly: true})
	}

	if image.Toolbox {
		plans = append(plans, mountPlan{Source: inBin, Target: "/sandbox/bin", ReadOnly: true})
	}

	own := len(plans)

	for _, one := range config.GetMounts() {
		if one.GetImage().GetImage() != "" {
			return nil, status.Errorf(codes.Unimplemented, "mount %s: image volumes are not supported", one.GetContainerPath())
		}

		if one.GetPropagation() == cri.MountPropagation_PROPAGATION_BIDIRECTIONAL {
			return nil, status.Errorf(codes.Unimplemented, "mount %s: bidirectional propagation is not supported", one.GetContainerPath())
		}

		target := path.Clean("/" + one.GetContainerPath())
		plans = append(plans, mountPlan{Source: one.GetHostPath(), Target: target, ReadOnly: one.GetReadonly()})
	}

	// A volume below another volume is mounted after it, however the pod lists them.
	slices.SortStableFunc(plans[own:], func(a, b mountPlan) int { return depth(a.Target) - depth(b.Target) })

	return plans, nil
}

func depth(name string) int { return strings.Count(name, "/") }

func firstOf(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}

	return ""
}

// resolvConf gives the content of /etc/resolv.conf; without a configuration that of the node.
func resolvConf(config *cri.DNSConfig, ofNode string) string {
	if config == nil || (len(config.GetServers()) == 0 && len(config.GetSearches()) == 0 && len(config.GetOptions()) == 0) {
		return ofNode
	}

	var lines strings.Builder

	if len(config.GetSearches()) > 0 {
		fmt.Fprintf(&lines, "search %s\n", strings.Join(config.GetSearches(), " "))
	}

	for _, server := range config.GetServers() {
		fmt.Fprintf(&lines, "nameserver %s\n", server)
	}

	if len(config.GetOptions()) > 0 {
		fmt.Fprintf(&lines, "options %s\n", strings.Join(config.GetOptions(), " "))
	}

	return lines.String()
}
