// SPDX-License-Identifier: GPL-3.0-or-later

package node

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/siderolabs/talos/pkg/grpc/middleware/authz"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configdiff"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/container"
	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type applyMode = machine.ApplyConfigurationRequest_Mode

const (
	modeAuto     = machine.ApplyConfigurationRequest_AUTO
	modeNoReboot = machine.ApplyConfigurationRequest_NO_REBOOT
	modeReboot   = machine.ApplyConfigurationRequest_REBOOT
	modeStaged   = machine.ApplyConfigurationRequest_STAGED
	modeTry      = machine.ApplyConfigurationRequest_TRY
)

// metal is how an installed machine validates its configuration.
type metal struct{}

func (metal) String() string        { return "metal" }
func (metal) RequiresInstall() bool { return false }
func (metal) InContainer() bool     { return false }

// ApplyConfiguration implements machine.MachineService.
//
// The order counts: anything but a try disarms a pending revert before it is even looked at, so a dry run or a
// configuration that is then refused leaves the tried one in force for good.
func (m *machined) ApplyConfiguration(ctx context.Context, in *machine.ApplyConfigurationRequest) (*machine.ApplyConfigurationResponse, error) {
	if m.lockedApply() {
		if !m.applying.TryLock() {
			return nil, status.Error(codes.FailedPrecondition, "another apply configuration is already in progress")
		}
		defer m.applying.Unlock()

		if m.leaving.Load() {
			return nil, status.Error(codes.FailedPrecondition,
				"configuration was already applied and node is rebooting, cannot apply more configuration changes until next reboot")
		}
	}

	if !authz.GetRoles(ctx).Includes(role.Admin) { // readers pass the rules for the maintenance mode's sake
		return nil, authz.ErrNotAuthorized
	}

	if in.Mode != modeTry {
		m.disarm()
	}

	cfg, err := m.load(in.GetData())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}

	if in.Mode == modeReboot && !m.before(14) {
		return nil, status.Error(codes.Unimplemented, "the REBOOT mode is not supported, please use AUTO or NO_REBOOT modes instead")
	}

	warnings, err := m.validate(ctx, cfg)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}

	mode, details, why, err := m.decide(in.Mode, cfg)
	if err != nil {
		return nil, err
	}

	answer := &machine.ApplyConfiguration{Mode: mode, Warnings: warnings, ModeDetails: details + why}

	if in.DryRun {
		diff, err := m.diff(cfg)
		if err != nil {
			return nil, fmt.Errorf("failed to generate diff: %w", err)
		}

		answer.Warnings = nil
		answer.ModeDetails = fmt.Sprintf("Dry run summary:\n%s (skipped in dry-run).\nConfig diff:\n\n%s", details, diff)
	} else {
		timeout := constants.ConfigTryTimeout
		if in.TryModeTimeout != nil {
			timeout = in.TryModeTimeout.AsDuration()
		}

		if mode == modeTry {
			answer.ModeDetails += fmt.Sprintf("\nThe config is applied in 'try' mode and will be automatically reverted back in %s", timeout)
		}

		if err := m.apply(ctx, mode, cfg, timeout); err != nil {
			return nil, err
		}
	}

	return &machine.ApplyConfigurationResponse{Messages: []*machine.ApplyConfiguration{answer}}, nil
}

func (m *machined) load(data []byte) (config.Provider, error) {
	err := m.known(data)

	var cfg config.Provider
	if err == nil {
		cfg, err = configloader.NewFromBytes(data)
	}

	if err != nil {
		return nil, m.decodingError(err)
	}

	if cfg.RawV1Alpha1() == nil {
		return nil, errors.New("the applied machine configuration doesn't contain v1alpha1 config, did you mean to patch the machine config instead?")
	}

	return cfg, nil
}

func (m *machined) validate(ctx context.Context, cfg config.Provider) (warnings []string, err error) {
	if !m.before(14) && cfg.RawV1Alpha1().MachineConfig != nil && len(cfg.RawV1Alpha1().MachineConfig.MachineFiles) > 0 {
		warnings = append(warnings, ".machine.files is deprecated; use dedicated configuration documents instead")
	}

	general, err := cfg.Validate(metal{})
	if err != nil {
		return nil, err
	}

	more, err := cfg.RuntimeValidate(ctx, m.resources, metal{})

	return slices.Concat(warnings, general, more), err
}

// decide gives the mode that a request comes to and the sentence about it; why is added to it after a real apply.
func (m *machined) decide(asked applyMode, cfg config.Provider) (mode applyMode, details, why string, err error) {
	const with, without = "Applied configuration with a reboot", "Applied configuration without a reboot"

	immediate := func() error {
		if m.before(14) {
			return immediate(m.active().RawV1Alpha1(), cfg.RawV1Alpha1())
		}

		return nil // a later Talos reboots for no change
	}

	switch asked {
	case modeTry, modeNoReboot:
		if err := immediate(); err != nil {
			return asked, "", "", status.Error(codes.InvalidArgument, err.Error())
		}

		return asked, without, "", nil
	case modeStaged:
		return asked, "Staged configuration to be applied after the next reboot", "", nil
	case modeAuto:
		if err := immediate(); err != nil {
			return modeReboot, with, ": " + err.Error(), nil
		}

		return modeNoReboot, without, "", nil
	case modeReboot:
		return asked, with, "", nil
	default:
		return asked, "", "", fmt.Errorf("incorrect mode '%s' specified for the apply config call", asked)
	}
}

// immediate says why current cannot become next without a reboot, with the difference that stands against it.
func immediate(current, next *v1alpha1.Config) error {
	next = next.DeepCopy()
	next.ConfigDebug = current.ConfigDebug
	next.ClusterConfig = current.ClusterConfig

	if a, b := current.MachineConfig, next.MachineConfig; a != nil && b != nil {
		copyFields(b, a, "MachineCA", "MachineAcceptedCAs", "MachineTime", "MachineCertSANs", "MachineInstall", "MachineNetwork",
			"MachineSysfs", "MachineSysctls", "MachineLogging", "MachineControlPlane", "MachineKubelet", "MachineKernel",
			"MachineRegistries", "MachinePods", "MachineSeccompProfiles", "MachineNodeAnnotations", "MachineNodeLabels", "MachineNodeTaints")

		if a.MachineFeatures != nil && b.MachineFeatures != nil {
			copyFields(b.MachineFeatures, a.MachineFeatures, "KubernetesTalosAPIAccessConfig", "KubePrismSupport", "HostDNSSupport",
				"ImageCacheSupport", "FeatureNodeAddressSortAlgorithm")
		}
	}

	if reflect.DeepEqual(current, next) {
		return nil
	}

	diff, err := configdiff.DiffConfigs(container.NewV1Alpha1(current), container.NewV1Alpha1(next))
	if err != nil {
		return fmt.Errorf("error calculating diff: %w", err)
	}

	return fmt.Errorf("this config change can't be applied in immediate mode\ndiff:\n%s", diff)
}

// copyFields sets the named fields of the structure to points at from those of the structure from points at.
func copyFields(to, from any, names ...string) {
	for _, name := range names {
		reflect.ValueOf(to).Elem().FieldByName(name).Set(reflect.ValueOf(from).Elem().FieldByName(name))
	}
}

func (m *machined) diff(cfg config.Provider) (string, error) {
	diff, err := configdiff.DiffConfigs(m.active(), cfg)
	if diff == "" {
		diff = "No changes."
	}

	return diff, err
}

func (m *machined) apply(ctx context.Context, mode applyMode, cfg config.Provider, timeout time.Duration) error {
	if mode == modeTry {
		m.revertAfter(timeout)
	} else {
		if err := m.persist(cfg); err != nil {
			return err
		}

		if err := m.control(ctx, afterPersist); err != nil {
			return err
		}
	}

	switch mode {
	case modeTry, modeNoReboot:
		if err := m.activate(cfg); err != nil {
			return err
		}
	case modeReboot:
		m.leaving.Store(true)
		time.AfterFunc(rebootGrace, m.requestReboot)
	}

	return m.control(ctx, afterApply)
}
