package main

import (
	"cmp"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
)

// bill writes the bill of materials of binaries in CycloneDX's JSON: each
// binary, and every Go module that the linker says is in it.
func (s source) bill(name, of string, built []binary) error {
	bom, err := s.billOf(of, built)
	if err != nil {
		return err
	}
	return create(name, func(w io.Writer) error { return encode(w, bom) })
}

func encode(w io.Writer, bom *cyclonedx.BOM) error {
	return cyclonedx.NewBOMEncoder(w, cyclonedx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).Encode(bom)
}

func (s source) billOf(of string, built []binary) (*cyclonedx.BOM, error) {
	top := s.module(modulePath, s.version)
	top.Type, top.Name, top.BOMRef = cyclonedx.ComponentTypeApplication, of, of+"@"+s.version
	apps, libraries := []cyclonedx.Component{}, map[string]cyclonedx.Component{}
	dependencies := []cyclonedx.Dependency{{Ref: top.BOMRef, Dependencies: &[]string{}}}
	var sums strings.Builder
	for _, b := range built {
		sum, err := digest(b.file)
		if err != nil {
			return nil, err
		}
		sums.WriteString(sum)
		info, err := buildinfo.ReadFile(b.file)
		if err != nil {
			return nil, err
		}
		app := s.module(modulePath+"/"+b.program.module, s.version)
		app.Type, app.Name = cyclonedx.ComponentTypeApplication, b.name
		app.BOMRef = b.name + "_" + b.platform.String() + "@" + s.version
		app.PackageURL += fmt.Sprintf("?goarch=%s&goos=%s", b.arch, b.os)
		app.Hashes = sha256Hash(sum)
		apps = append(apps, app)

		std := s.module("std", strings.TrimPrefix(info.GoVersion, "go"))
		uses := map[string]cyclonedx.Component{std.BOMRef: std}
		for _, dep := range info.Deps {
			library, err := s.library(dep)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", b.file, err)
			}
			uses[library.BOMRef] = library
		}
		maps.Copy(libraries, uses)
		refs := slices.Sorted(maps.Keys(uses))
		dependencies = append(dependencies, cyclonedx.Dependency{Ref: app.BOMRef, Dependencies: &refs})
		*dependencies[0].Dependencies = append(*dependencies[0].Dependencies, app.BOMRef)
	}
	sorted := slices.SortedFunc(maps.Values(libraries), func(a, b cyclonedx.Component) int { return cmp.Compare(a.BOMRef, b.BOMRef) })
	components := slices.Concat(apps, sorted)
	for _, library := range sorted {
		dependencies = append(dependencies, cyclonedx.Dependency{Ref: library.BOMRef})
	}

	bom := cyclonedx.NewBOM()
	bom.SerialNumber = "urn:uuid:" + uuid.NewSHA1(uuid.NameSpaceURL, []byte(modulePath+sums.String())).String()
	bom.Metadata = &cyclonedx.Metadata{Timestamp: s.time.Format(time.RFC3339), Component: &top}
	bom.Components, bom.Dependencies = &components, &dependencies
	return bom, nil
}

// library is a module that a binary was linked with.
func (s source) library(m *debug.Module) (cyclonedx.Component, error) {
	if strings.HasPrefix(m.Path, modulePath+"/") { // replaced by a folder of the commit
		return s.module(m.Path, s.version), nil
	}
	if m.Replace != nil {
		m = m.Replace
	}
	c := s.module(m.Path, m.Version)
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
	if err != nil || len(sum) == 0 {
		return c, fmt.Errorf("module %s %s has the checksum %q", m.Path, m.Version, m.Sum)
	}
	c.Hashes = sha256Hash(hex.EncodeToString(sum))
	return c, nil
}

func (s source) module(path, version string) cyclonedx.Component {
	purl := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	c := cyclonedx.Component{BOMRef: purl, Type: cyclonedx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: purl}
	if path == modulePath || strings.HasPrefix(path, modulePath+"/") {
		c.Licenses = &cyclonedx.Licenses{{License: &cyclonedx.License{ID: license}}}
	}
	return c
}

func sha256Hash(sum string) *[]cyclonedx.Hash {
	return &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: sum}}
}
