package arena

import "syscall"

// hugeFrom is the size from which a block asks for huge pages: below it, rounding
// would lose more than fewer faults and TLB misses gain.
const hugeFrom = 4 << 20

func mapMemory(n int) ([]byte, error) {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err == nil && n >= hugeFrom {
		// Only advice: a kernel without huge pages refuses it.
		_ = syscall.Madvise(b, syscall.MADV_HUGEPAGE)
	}
	return b, err
}

func unmapMemory(b []byte) error { return syscall.Munmap(b) }
