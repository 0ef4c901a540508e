// SPDX-License-Identifier: GPL-3.0-or-later

package node

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/google/uuid"
	"github.com/siderolabs/talos/pkg/machinery/config"
	configres "github.com/siderolabs/talos/pkg/machinery/resources/config"
)

// boot is the node from one start to the next: all that a reboot forgets.
type boot struct {
	*Node

	resources state.State
	started   time.Time
	reboot    chan struct{} // closed when the API asked for a reboot
	rebooting sync.Once

	timerMu sync.Mutex
	timer   *time.Timer // of a pending try

	changes sync.Mutex // one change of configuration and files at a time

	applying sync.Mutex  // one request to change it, of the versions that take one at a time
	leaving  atomic.Bool // such a request has asked for a reboot

	customization []byte                    // of containerd, from 1.14 on
	criVersions   []string                  // of the files that containerd was started with
	criStarted    atomic.Pointer[time.Time] // when that was
}

func (n *Node) boot() (*boot, error) {
	cfg, err := n.persisted()
	if err != nil {
		return nil, err
	}

	b := &boot{Node: n, started: time.Now(), reboot: make(chan struct{})}

	if b.resources, err = newResources(); err != nil {
		return nil, err
	}

	if err := b.install(cfg); err != nil {
		return nil, err
	}

	for _, id := range []string{configres.PersistentID, configres.ActiveID} {
		if err := b.setConfig(id, cfg); err != nil {
			return nil, err
		}
	}

	if err := b.describe(cfg); err != nil {
		return nil, err
	}

	b.reconcile(cfg)

	return b, b.startCRI()
}

// install lays the files that are the same for every configuration, and those a boot alone writes.
func (b *boot) install(cfg config.Provider) error {
	for _, dir := range []string{
		"/etc/cri/conf.d/hosts", "/var/lib/containerd/io.containerd.content.v1.content/ingest", "/proc/sys/kernel/random",
	} {
		if err := os.MkdirAll(b.path(dir), 0o755); err != nil {
			return err
		}
	}

	if err := b.installParts(cfg); err != nil {
		return err
	}

	return os.WriteFile(b.path("/proc/sys/kernel/random/boot_id"), []byte(uuid.NewString()+"\n"), 0o644)
}

func (b *boot) path(name string) string { return filepath.Join(b.Root, name) }

// active gives the configuration in force.
func (b *boot) active() config.Provider {
	res, err := b.resources.Get(context.Background(), configres.NewMachineConfig(nil).Metadata())
	if err != nil {
		panic(fmt.Sprintf("the active configuration is gone: %v", err))
	}

	return res.(*configres.MachineConfig).Provider() //nolint:forcetypeassert
}

// setConfig stores a configuration as a resource; its version grows also when nothing differs, as on the real node.
func (b *boot) setConfig(id string, cfg config.Provider) error {
	ctx := context.Background()
	res := configres.NewMachineConfigWithID(cfg, id)

	old, err := b.resources.Get(ctx, res.Metadata())
	if state.IsNotFoundError(err) {
		return b.resources.Create(ctx, res)
	}

	if err != nil {
		return err
	}

	res.Metadata().SetVersion(old.Metadata().Version())

	return b.resources.Update(ctx, res)
}

// persist stores cfg as what the next boot takes.
func (b *boot) persist(cfg config.Provider) error {
	text, err := cfg.Bytes()
	if err != nil {
		return err
	}

	b.changes.Lock()
	defer b.changes.Unlock()

	if err := writeAtomically(b.configFile(), text, 0o600); err != nil {
		return err
	}

	return b.setConfig(configres.PersistentID, cfg)
}

// activate puts cfg in force.
func (b *boot) activate(cfg config.Provider) error {
	b.changes.Lock()
	defer b.changes.Unlock()

	if err := b.setConfig(configres.ActiveID, cfg); err != nil {
		return err
	}

	b.reconcile(cfg)

	return nil
}

// revertAfter arms the revert to what is active now, in place of one that is armed already:
// so a second try makes the first one's configuration the one it goes back to.
func (b *boot) revertAfter(timeout time.Duration) {
	back := b.active()

	b.disarm()

	b.timerMu.Lock()
	defer b.timerMu.Unlock()

	b.timer = time.AfterFunc(timeout, func() {
		log.Printf("rolling back the configuration")

		if err := b.activate(back); err != nil {
			log.Printf("config rollback failed: %v", err)
		}
	})
}

func (b *boot) disarm() {
	b.timerMu.Lock()
	defer b.timerMu.Unlock()

	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
}

func (b *boot) requestReboot() {
	b.rebooting.Do(func() { close(b.reboot) })
}
