// SPDX-License-Identifier: GPL-3.0-or-later

package pull

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/distribution/reference"
)

// Image is one name in the node's image store. One pulled image has several: tag, name@digest, its digest and its ID.
type Image struct {
	Name    string            `json:"name"`
	Digest  string            `json:"digest"` // of the manifest or index
	ID      string            `json:"id"`     // digest of the configuration: what the CRI calls the image's ID
	Size    int64             `json:"size"`
	Labels  map[string]string `json:"labels,omitempty"`
	Created time.Time         `json:"created"`
	Cached  bool              `json:"-"` // set by a pull that found the digest in the store
}

// RepoDigest gives repository@digest, "" for an image named by digest alone.
func (i Image) RepoDigest() string {
	named, err := reference.ParseDockerRef(i.Name)
	if err != nil || strings.HasPrefix(i.Name, "sha256:") {
		return ""
	}

	return named.Name() + "@" + i.Digest
}

type store map[string]map[string]Image // namespace → name → image

// Images gives all names of a namespace, sorted.
func (n Node) Images(namespace string) (list []Image, err error) {
	err = n.withStore(false, func(s store) bool {
		for _, image := range s[namespace] {
			list = append(list, image)
		}

		return false
	})

	slices.SortFunc(list, func(a, b Image) int { return strings.Compare(a.Name, b.Name) })

	return list, err
}

// Image finds one by name, name@digest, digest or ID.
func (n Node) Image(namespace, ref string) (image Image, found bool, err error) {
	if named, err := reference.ParseDockerRef(ref); err == nil && !strings.HasPrefix(ref, "sha256:") {
		ref = named.String()
	}

	err = n.withStore(false, func(s store) bool {
		image, found = s[namespace][ref]

		return false
	})

	return image, found, err
}

// RemoveImage forgets every name of the image that ref names. An unknown one is no error.
func (n Node) RemoveImage(namespace, ref string) error {
	image, found, err := n.Image(namespace, ref)
	if err != nil || !found {
		return err
	}

	return n.withStore(true, func(s store) bool {
		for name, other := range s[namespace] {
			if other.ID == image.ID {
				delete(s[namespace], name)
			}
		}

		return true
	})
}

func (n Node) known(namespace, digest string) (Image, bool) {
	image, found, err := n.Image(namespace, digest)

	return image, found && err == nil
}

// record stores image under all the names that containerd and Talos give it, and sets its own name.
func (n Node) record(namespace string, named reference.Named, image *Image) error {
	names := []string{image.Digest, named.Name() + "@" + image.Digest, named.String()}
	image.Created = time.Now().UTC().Truncate(time.Second)

	if namespace == NamespaceCRI {
		names = append(names, image.ID)
		image.Labels = map[string]string{"io.cri-containerd.image": "managed"}
	}

	image.Name = named.String()

	return n.withStore(true, func(s store) bool {
		if s[namespace] == nil {
			s[namespace] = map[string]Image{}
		}

		for _, name := range names {
			entry := *image
			entry.Name = name

			if old, ok := s[namespace][name]; ok && old.Digest == entry.Digest {
				entry.Created = old.Created
			}

			s[namespace][name] = entry
		}

		return true
	})
}

// withStore runs use on images.json under a lock that holds between processes, and writes it back when use says so.
func (n Node) withStore(write bool, use func(store) bool) error {
	lock, err := os.OpenFile(filepath.Join(n.State, "images.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() //nolint:errcheck // closing releases the lock

	how := syscall.LOCK_SH
	if write {
		how = syscall.LOCK_EX
	}

	if err := syscall.Flock(int(lock.Fd()), how); err != nil {
		return err
	}

	name := filepath.Join(n.State, "images.json")
	content := store{}

	data, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(data, &content)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}

	if err != nil || !use(content) {
		return err
	}

	if data, err = json.MarshalIndent(content, "", "  "); err != nil {
		return err
	}

	if err := os.WriteFile(name+".new", append(data, '\n'), 0o600); err != nil {
		return err
	}

	return os.Rename(name+".new", name)
}
