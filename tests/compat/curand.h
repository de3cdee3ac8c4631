#pragma once
typedef int* curandGenerator_t;
enum curandStatus_t { CURAND_STATUS_SUCCESS = 0, CURAND_STATUS_NOT_INITIALIZED = 101 };
enum curandRngType_t { CURAND_RNG_PSEUDO_DEFAULT = 100 };
inline int seeded = 0;
inline curandStatus_t curandCreateGenerator(curandGenerator_t* generator, curandRngType_t) {
  *generator = &seeded;
  return CURAND_STATUS_SUCCESS;
}
inline curandStatus_t take(curandGenerator_t generator, int number) {
  if (generator != &seeded) return CURAND_STATUS_NOT_INITIALIZED;
  seeded += number;
  return CURAND_STATUS_SUCCESS;
}
inline curandStatus_t curandSetPseudoRandomGeneratorSeed(curandGenerator_t generator, unsigned long long) {
  return take(generator, 1);
}
inline curandStatus_t curandSetGeneratorOffset(curandGenerator_t generator, unsigned long long) {
  return take(generator, 10);
}
inline curandStatus_t curandDestroyGenerator(curandGenerator_t generator) { return take(generator, 100); }
