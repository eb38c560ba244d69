/* The constants of every kernel, each at a multiple of 64 bytes. The file is embedded by the compiler. */
__attribute__((visibility("hidden"))) _Alignas(64) const unsigned char gait_weights[] = {
#embed "weights.bin"
};
